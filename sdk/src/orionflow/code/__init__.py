"""The code of users: how an entrypoint names it, how it is loaded, and what is known of where it came from."""
