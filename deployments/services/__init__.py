"""Writing what belongs to deployments, one subject per file."""
