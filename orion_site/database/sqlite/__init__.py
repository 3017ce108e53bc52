"""Django's SQLite backend, made fit for many writing threads: IMMEDIATE transactions that queue up fairly."""
