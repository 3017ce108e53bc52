"""Outages of the database: one log line when it goes away and one when it is back, for any number of requests."""

from __future__ import annotations

import logging
import threading
import time

from django.db import InterfaceError, OperationalError, connection

from orchestration.transactions import is_disk_full

logger = logging.getLogger("orion.database")

# SQLSTATE classes and codes: connection_exception, operator_intervention (shutdown, startup, killed),
# too_many_connections.
AWAY_CLASSES = ("08", "57P")
AWAY_CODES = frozenset({"53300"})
DISK_FULL = "The disk below the database is full: nothing can be stored until there is free space."
# How often a continuing outage is logged again, for operators who begin to read the log later.
LOG_AGAIN_SECONDS = 600.0


def is_outage(error: BaseException) -> bool:
    """Whether the database cannot be reached, rather than being busy."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError) or is_disk_full(error):
        return False
    code = getattr(error.__cause__, "sqlstate", None)
    if code is not None:
        return code.startswith(AWAY_CLASSES) or code in AWAY_CODES
    # Without a code, the driver or the connection pool gave up. SQLite has no codes, and may only be locked.
    return "locked" not in str(error)


class OnceInAWhile:
    """Whose turn it is to log a continuing problem, of all requests and threads that meet it."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._next = 0.0

    def take_turn(self) -> bool:
        """Return True for the first caller, and then for one caller each time that the interval has passed."""
        now = time.monotonic()
        with self._mutex:
            if now < self._next:
                return False
            self._next = now + LOG_AGAIN_SECONDS
        return True


class Outage:
    """The state of the database connection, for the log: since when it is away."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._since: float | None = None
        self._log = OnceInAWhile()

    def met(self, error: BaseException) -> None:
        """Note that a connection to the database failed, and log it if necessary."""
        with self._mutex:
            is_first = self._since is None
            if is_first:
                self._since, self._log = time.monotonic(), OnceInAWhile()
            if not self._log.take_turn():
                return
        # One line, even if the driver's message has several.
        reason = " ".join(str(error).split()) or type(error).__name__
        logger.error("The database does not answer%s: %s", "" if is_first else " still", reason)

    def look_again(self) -> None:
        """Check whether the outage is over. No query if there is none; raises the driver's errors."""
        if self._since is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            self.over()

    def over(self) -> None:
        """Note that the database was reached."""
        if self._since is None:
            return
        with self._mutex:
            since, self._since = self._since, None
        if since is not None:
            logger.warning("The database answers again, after %.0f s.", time.monotonic() - since)


outage = Outage()
full_disk = OnceInAWhile()


def log_outage(error: BaseException) -> bool:
    """Log that the database is away, or its disk full, unless logged recently. Return False for other errors."""
    if is_outage(error):
        outage.met(error)
    elif is_disk_full(error):
        if full_disk.take_turn():
            logger.error(DISK_FULL)
    else:
        return False
    return True
