"""Reads that may lag: the one place that decides which of them go to a replica, and says as of when it is.

Nothing does unless its entrance says so: `@may_lag` on a page, `may_lag = True` on an operation. The replica is looked
at by a thread, so that no request waits for one that is gone; what it fails at, or does not know, the primary answers.
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

# Who asks, their sessions and what they did are read where they are written.
READ_APPS = frozenset({"runs", "deployments", "events"})
AS_OF, INSTEAD = "Orion-As-Of", "Orion-Replica"
# A browser that changed something reads the primary for as long as the replica may lag.
WROTE_COOKIE = "orion_wrote"
LOOK_SECONDS, IDLE_SECONDS = 1.0, 30.0
# By what a replica falls short that has not replayed a migration yet.
QUERY_CANCELED, UNDEFINED = "57014", frozenset({"42P01", "42703"})
# The thread has not come back: it hangs on a replica that does not answer.
SILENT_SECONDS = 5.0
_AS_OF_SQL = (
    "SELECT GREATEST((SELECT MAX(last_tick) FROM deployments_servicerecord), "
    "CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() END)"
)

Why = Literal["away", "behind"]


class ReplicaRouter:
    """Reads of what is recorded go where `orchestration.reading` says, all else to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return alias() if model._meta.app_label in READ_APPS else DEFAULT_DB_ALIAS

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        # The same rows, read in two ways.
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db != REPLICA


@dataclass(frozen=True, slots=True)
class Read:
    """Where a request is answered from: the replica as of a moment, or the primary because the replica is not fit."""

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
    """How far the replica is, looked at once a second while anybody reads it."""

    def __init__(self) -> None:
        self._as_of: datetime | None = None
        self._looked_at = 0.0
        self._wanted_at = 0.0
        self._is_away = False
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def read(self) -> Read:
        """Where to read now. Costs no query."""
        self._begin()
        now = time.monotonic()
        if self._is_away or (self._looked_at and now - self._looked_at > SILENT_SECONDS + LOOK_SECONDS):
            return Read(instead="away")
        if self._as_of is None:
            # Nobody has looked yet.
            return PRIMARY
        found = Read(self._as_of)
        return found if found.seconds <= settings.ORION_DATABASE_REPLICA_MAX_LAG_SECONDS else Read(instead="behind")

    def failed(self, error: Exception) -> None:
        """A statement failed there: nobody is sent there until it was looked at again."""
        self._is_away = True
        logger.warning("The replica failed, and the primary answers instead: %s", error)

    def look(self) -> None:
        """Ask the replica as of when it is."""
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
            if time.monotonic() - self._wanted_at > IDLE_SECONDS:
                # What is known grows old; whoever comes next reads the primary once.
                self._as_of, self._looked_at = None, 0.0
                self._wanted.clear()
                self._wanted.wait()


watch = Watch()


def is_configured() -> bool:
    return REPLICA in connections.settings


def where_to_read(request: HttpRequest) -> Read:
    """Decide for one request whose entrance allows that its answer lags."""
    if not is_configured() or request.method not in {"GET", "HEAD", "POST"}:
        return PRIMARY
    # Parts of a page are asked for because of a change: without it they would be of no use.
    is_part = "_f" in request.GET
    is_fresh = "no-cache" in request.headers.get("Cache-Control", "") and not _is_of_a_browser(request)
    if is_part or is_fresh or WROTE_COOKIE in request.COOKIES or connections[DEFAULT_DB_ALIAS].in_atomic_block:
        return PRIMARY
    return watch.read()


def _is_of_a_browser(request: HttpRequest) -> bool:
    # These send the header whenever somebody loads a page once more.
    return "text/html" in request.headers.get("Accept", "")


def answered(read: Read, call: Callable[[], R]) -> tuple[R, Read]:
    """Call within that choice, and again on the primary where the replica fails or does not know what was asked for."""
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
    """Whether the primary may answer all the same: a connection lost, a conflict with what is replayed, tables missing.

    A statement that took too long would do so there as well.
    """
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    if isinstance(error, OperationalError):
        return bool(sqlstate != QUERY_CANCELED)
    return isinstance(error, InterfaceError) or sqlstate in UNDEFINED


def may_lag(view: View) -> View:
    """Declare a page whose answer may lag. It stands below `@requires`: rights never lag."""

    @wraps(view)
    def lagging(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            return view(request, *args, **kwargs)

        def call() -> HttpResponseBase:
            response = view(request, *args, **kwargs)
            render = getattr(response, "render", None)
            # Rows may be read only while a page is written.
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
    """Lets a browser that has just changed something read the primary for a while."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        response = self._get_response(request)
        if request.method == "POST" and is_configured() and not request.path_info.startswith("/api/"):
            seconds = int(settings.ORION_DATABASE_REPLICA_MAX_LAG_SECONDS) + 1
            response.set_cookie(WROTE_COOKIE, "1", max_age=seconds, httponly=True, samesite="Lax")
        return response


def read_of(request: HttpRequest) -> dict[str, Any]:
    """Say for pages where they were read (a context processor)."""
    return {"read": getattr(request, "orion_read", PRIMARY)}
