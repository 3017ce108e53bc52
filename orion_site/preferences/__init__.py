"""Preferences of one browser for the pages: stored in a cookie, and applied by the server."""
