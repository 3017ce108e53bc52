"""Extensions of Django's admin: lists of bounded cost, commands with a confirmation page, and an index by subject."""
