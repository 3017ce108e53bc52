"""Writing what belongs to runs, one subject per file. State is not written here but by `orchestration.services`."""
