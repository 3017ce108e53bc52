"""What `@flow` and `@task` take: options checked when decorating, parameters, names, retries, hooks, where to run."""
