"""Whether the database can be reached: one line when it goes, one when it is back, however many requests meet it."""

from __future__ import annotations

import logging
import threading
import time

from django.db import InterfaceError, OperationalError, connection

from orchestration.transactions import is_disk_full

logger = logging.getLogger("orion.database")

# connection_exception, too_many_connections, and how PostgreSQL says that it shuts down, starts, or was killed.
AWAY_CLASSES = ("08", "57P")
AWAY_CODES = frozenset({"53300"})
DISK_FULL = "The disk below the database is full: nothing can be stored until somebody makes room there."
# While it stays away, somebody may have begun to read the log later.
SAY_AGAIN_SECONDS = 600.0


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, and not merely busy with something else."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError) or is_disk_full(error):
        return False
    code = getattr(error.__cause__, "sqlstate", None)
    if code is not None:
        return code.startswith(AWAY_CLASSES) or code in AWAY_CODES
    # Without a code it was the driver, or the pool, that gave up; SQLite knows none, and may only be busy.
    return "locked" not in str(error)


class Outage:
    """The outage of the database that was logged last."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._since: float | None = None
        self._said_at = 0.0

    def met(self, error: BaseException) -> None:
        """Somebody could not reach the database."""
        now = time.monotonic()
        with self._mutex:
            is_first, self._since = self._since is None, self._since or now
            if not is_first and now - self._said_at < SAY_AGAIN_SECONDS:
                return
            self._said_at = now
        # One line, whatever the driver makes of it.
        reason = " ".join(str(error).split()) or type(error).__name__
        logger.error("The database does not answer%s: %s", "" if is_first else " still", reason)

    def look_again(self) -> None:
        """See whether it is over. Costs nothing while nobody has missed the database; raises what the driver does."""
        if self._since is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            self.over()

    def over(self) -> None:
        """Somebody reached the database."""
        if self._since is None:
            return
        with self._mutex:
            since, self._since = self._since, None
        if since is not None:
            logger.warning("The database answers again, after %.0f s.", time.monotonic() - since)


class FullDisk:
    """The disk below the database, which has no room: said once in a while, however many requests need some."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._said_at: float | None = None

    def met(self) -> None:
        now = time.monotonic()
        with self._mutex:
            if self._said_at is not None and now - self._said_at < SAY_AGAIN_SECONDS:
                return
            self._said_at = now
        logger.error(DISK_FULL)


outage = Outage()
full_disk = FullDisk()


def log_outage(error: BaseException) -> bool:
    """Log that the database is away, or its disk full, unless that was said already; False for everything else."""
    if is_outage(error):
        outage.met(error)
    elif is_disk_full(error):
        full_disk.met()
    else:
        return False
    return True
