"""Forms of the pages: a valid form becomes one call of a service, whose refusal is shown."""
