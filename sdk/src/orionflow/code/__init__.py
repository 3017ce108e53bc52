"""The code of users: how an entry point names it, how it is loaded, and what is known about its origin."""
