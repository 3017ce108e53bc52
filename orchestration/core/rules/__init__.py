"""The rules, one theme to a file. Their order is in `policies`; their docstrings are the user's reference."""
