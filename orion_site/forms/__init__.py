"""Forms of the pages: what somebody fills in becomes one call of a service, and what the service refuses is shown."""
