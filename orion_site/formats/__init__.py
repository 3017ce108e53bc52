"""Formats of dates, by language: where Django looks for those that the admin writes."""
