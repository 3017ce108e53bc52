"""Pages of keys, users, groups and the user's own password, below `/settings/`."""
