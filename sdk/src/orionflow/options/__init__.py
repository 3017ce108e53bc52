"""Arguments of `@flow` and `@task`: options, checked at decoration, parameters, names, retries, hooks."""
