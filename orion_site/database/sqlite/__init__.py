"""Django's SQLite backend, adapted to many writing threads: IMMEDIATE transactions in the order of arrival."""
