"""Formats of dates by language, where Django looks for those of the admin."""
