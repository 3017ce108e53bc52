"""Retries of a finished run from some of its tasks: previews of what such a retry would do, and the retry itself."""
