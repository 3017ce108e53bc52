"""The queries of the pages of this app, one function for each page."""
