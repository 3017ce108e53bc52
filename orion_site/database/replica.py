"""Reads that may lag: only this module decides which of them use the replica, and knows how recent its data is.

Only views that declare it do so: `@may_lag` on a page, `may_lag = True` on an operation. A thread checks the replica,
so that no request waits for one that is down; if a query fails there, or finds missing tables, the primary answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Literal, TypeVar, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections
from django.http import Http404, HttpRequest, HttpResponseBase, StreamingHttpResponse

from orchestration.database_clock import current_time
from orchestration.errors import NotFound
from orchestration.reading import REPLICA, MustNotLag, alias, from_the_replica

R = TypeVar("R")
View = Callable[..., HttpResponseBase]

logger = logging.getLogger("orion.replica")

# Only the tables of these apps are read there; users, sessions and the audit log come from the primary.
READ_APPS = frozenset({"runs", "deployments", "events"})
AS_OF, INSTEAD = "Orion-As-Of", "Orion-Replica"
# The cookie of a browser that changed something: it reads from the primary for as long as the replica may lag.
WROTE_COOKIE = "orion_wrote"
LOOK_SECONDS, IDLE_SECONDS = 1.0, 30.0
# Errors of a replica that has not yet replayed a migration.
QUERY_CANCELED, UNDEFINED = "57014", frozenset({"42P01", "42703"})
# After this time without a check the replica counts as away: the thread hangs if it does not answer.
SILENT_SECONDS = 5.0
_AS_OF_SQL = (
    "SELECT GREATEST((SELECT MAX(last_tick) FROM deployments_servicerecord), "
    "CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END)"
)

Why = Literal["away", "behind"]


class ReplicaRouter:
    """Sends reads of these apps to where `orchestration.reading` says, and all others to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return alias() if model._meta.app_label in READ_APPS else DEFAULT_DB_ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        # Both connections have the same rows.
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db != REPLICA


@dataclass(frozen=True, slots=True)
class Read:
    """Where a request reads: from the replica, as of a moment; or from the primary, with the reason if the replica is
    unfit.
    """

    as_of: datetime | None = None
    instead: Why | None = None

    @property
    def seconds(self) -> float:
        return max((current_time() - self.as_of).total_seconds(), 0.0) if self.as_of else 0.0

    @property
    def headers(self) -> dict[str, str]:
        if self.as_of is not None:
            return {AS_OF: self.as_of.isoformat(timespec="milliseconds")}
        return {INSTEAD: self.instead} if self.instead else {}


PRIMARY = Read()


class Watch:
    """Checks the replica once a second while requests use it."""

    def __init__(self) -> None:
        self._as_of: datetime | None = None
        self._looked_at = 0.0
        self._wanted_at = 0.0
        self._is_away = False
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> Read:
        """Return where to read now, without a query."""
        self._begin()
        now = time.monotonic()
        if self._is_away or (self._looked_at and now - self._looked_at > SILENT_SECONDS + LOOK_SECONDS):
            return Read(instead="away")
        if self._as_of is None:
            # It has not been checked yet.
            return PRIMARY
        found = Read(self._as_of)
        return found if found.seconds <= settings.ORION_DATABASE_REPLICA_MAX_LAG_SECONDS else Read(instead="behind")

    def failed(self, error: Exception) -> None:
        """Stop using the replica until the next successful check, because a statement failed there."""
        self._is_away = True
        logger.warning("The replica failed, and the primary answers instead: %s", error)

    def look(self) -> None:
        """Check whether the replica answers, and how recent its data is."""
        try:
            with connections[REPLICA].cursor() as cursor:
                cursor.execute(_AS_OF_SQL)
                self._as_of = cursor.fetchone()[0]
            if self._is_away:
                logger.warning("The replica is back.")
            self._is_away = self._as_of is None
        except (DatabaseError, InterfaceError) as error:
            if not self._is_away:
                self.failed(error)
        finally:
            connections[REPLICA].close()
            self._looked_at = time.monotonic()

    def _begin(self) -> None:
        self._wanted_at = time.monotonic()
        self._wanted.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._look_forever, name="orion-replica", daemon=True)
                    self._thread.start()

    def _look_forever(self) -> None:
        while True:
            self.look()
            time.sleep(LOOK_SECONDS)
            # Clear it before checking the time: a request that comes in between sets it again, and is not overlooked.
            self._wanted.clear()
            if time.monotonic() - self._wanted_at > IDLE_SECONDS:
                # The result is outdated when requests come again; the first one then reads from the primary.
                self._as_of, self._looked_at = None, 0.0
                self._wanted.wait()


watch = Watch()


def is_configured() -> bool:
    return REPLICA in connections.settings


def where_to_read(request: HttpRequest) -> Read:
    """Decide where a request reads whose view allows lag."""
    if not is_configured() or request.method not in {"GET", "HEAD", "POST"}:
        return PRIMARY
    # Parts of a page are requested because of a change, which they must include.
    is_part = "_f" in request.GET
    is_fresh = "no-cache" in request.headers.get("Cache-Control", "") and not _is_of_a_browser(request)
    if is_part or is_fresh or WROTE_COOKIE in request.COOKIES or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return PRIMARY
    return watch.read()


def _is_of_a_browser(request: HttpRequest) -> bool:
    # Browsers send the header whenever the user reloads a page.
    return "text/html" in request.headers.get("Accept", "")


def answered(read: Read, call: Callable[[], R]) -> tuple[R, Read]:
    """Call with the chosen connection; if the replica fails or lacks a table, call again with the primary."""
    if read.as_of is None:
        return call(), read
    try:
        with from_the_replica():
            return call(), read
    except (Http404, NotFound, MustNotLag):
        return call(), PRIMARY
    except (DatabaseError, InterfaceError) as error:
        if not _is_of_the_replica(error):
            raise
        watch.failed(error)
        return call(), Read(instead="away")


def _is_of_the_replica(error: Exception) -> bool:
    """Whether to retry with the primary: connection lost, conflict with recovery, or tables missing.

    A statement that took too long would do so there, too.
    """
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if isinstance(error, OperationalError):
        return bool(sqlstate != QUERY_CANCELED)
    return isinstance(error, InterfaceError) or sqlstate in UNDEFINED


def may_lag(view: View) -> View:
    """Declare a page whose answer may lag. Put it below `@requires`, because permissions must not lag."""

    @wraps(view)
    def lagging(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            return view(request, *args, **kwargs)

        def call() -> HttpResponseBase:
            response = view(request, *args, **kwargs)
            render = getattr(response, "render", None)
            # Render here, because templates may read rows.
            return cast("HttpResponseBase", render()) if render is not None else response

        read = where_to_read(request)
        request.orion_read = read  # type: ignore[attr-defined]
        response, used = answered(read, call)
        if isinstance(response, StreamingHttpResponse) and used.as_of is not None and not response.is_async:
            response.streaming_content = _from_the_replica(cast("Iterable[bytes]", response.streaming_content))
        for name, value in used.headers.items():
            response.headers[name] = value
        return response

    lagging.may_lag = True  # type: ignore[attr-defined]
    return lagging


def _from_the_replica(chunks: Iterable[bytes]) -> Iterator[bytes]:
    with from_the_replica():
        yield from chunks


class ReadYourWritesMiddleware:
    """Lets a browser that just changed something read from the primary for a while."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self._get_response(request)
        if request.method == "POST" and is_configured() and not request.path_info.startswith("/api/"):
            seconds = int(settings.ORION_DATABASE_REPLICA_MAX_LAG_SECONDS) + 1
            response.set_cookie(WROTE_COOKIE, "1", max_age=seconds, httponly=True, samesite="Lax")
        return response


def read_of(request: HttpRequest) -> dict[str, Any]:
    """Return where the page was read, as a context processor."""
    return {"read": getattr(request, "orion_read", PRIMARY)}
