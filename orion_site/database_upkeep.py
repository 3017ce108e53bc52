"""What a SQLite file needs now and then. PostgreSQL looks after itself."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

# Writers wait while the log is cut, and the cut waits for readers: better the next time than for long.
PATIENCE_MILLISECONDS = 200
ROWS_LOOKED_AT = 400


def tidy_database(now: datetime) -> None:
    """Renew what the planner knows of the tables, and write the log of recent changes back into the file."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        # Some rows of each index tell enough; all of them would be read otherwise, whenever a table has grown.
        cursor.execute(f"PRAGMA analysis_limit={ROWS_LOOKED_AT}")
        cursor.execute("PRAGMA optimize")
        cursor.execute("PRAGMA busy_timeout")
        usual = int(cursor.fetchone()[0])
        cursor.execute(f"PRAGMA busy_timeout={PATIENCE_MILLISECONDS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
        finally:
            cursor.execute(f"PRAGMA busy_timeout={usual}")
