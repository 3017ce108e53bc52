"""Pages of keys, users, groups and one's own password, below `/settings/`."""
