"""The API inside this process: requests call the server's WSGI application directly, without a port.

The server package is found by its entry point, so the SDK never imports it.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points
from typing import Any
from urllib.parse import unquote_to_bytes

from orionflow.client.requests_in_process import RequestsInProcess
from orionflow.errors import ApiUnreachable, DatabaseNotReady

EPHEMERAL_URL = "http://ephemeral.orion/api"
GROUP = "orionflow.server"
NAME = "ephemeral"
SERVER_PACKAGE = "orionflow-server"

Headers = list[tuple[str, str]]
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiReply:
    """The answer of the application, recorded as WSGI produces it."""

    __slots__ = ("content", "headers", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.headers: dict[str, str] = {}
        self.content = b""

    def start(self, status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], None]:
        code, _, self.reason = status.partition(" ")
        self.status = int(code)
        self.headers = {name.lower(): value for name, value in headers}
        return self._write

    def _write(self, part: bytes) -> None:
        self.content += part


# The application redirects with this status if the last slash of a path is missing or superfluous.
_TEMPORARY_REDIRECT = 307
_BASE_ENVIRON: dict[str, Any] = {
    "SERVER_NAME": "ephemeral.orion",
    "SERVER_PORT": "80",
    "HTTP_HOST": "ephemeral.orion",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "CONTENT_TYPE": "application/json",
    "HTTP_ACCEPT": "application/json",
}


def call_application(
    application: Application, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> WsgiReply:
    """Send one request to a WSGI application, as a server would."""
    environ = {
        **_BASE_ENVIRON,
        "REQUEST_METHOD": method,
        "PATH_INFO": _as_wsgi_text(path),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    for name, value in headers.items():
        environ[_environ_name(name)] = value
    reply = WsgiReply()
    parts = application(environ, reply.start)
    try:
        reply.content += b"".join(parts)
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()
    return reply


def _as_wsgi_text(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1") if "%" in path or not path.isascii() else path


def _environ_name(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"


class InProcessServer:
    """The application of this process, created once, at the first request."""

    def __init__(self, application: Application | None = None) -> None:
        self._lock = threading.Lock()
        self._application = application
        self.requests = RequestsInProcess()
        self._beside: ThreadPoolExecutor | None = None

    def application(self) -> Application:
        if self._application is None:
            # Asked again with the lock, so that only one thread sets the server up.
            with self._lock:
                if self._application is None:
                    self._application = make_application(server_entry_point())
        return self._application

    def request(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> WsgiReply:
        if _runs_event_loop():
            # The coroutine blocks on purpose (a notebook, a sync flow in async code), but Django would refuse to.
            return self._aside().submit(self._request, method, path, query, headers, body).result()
        return self._request(method, path, query, headers, body)

    def _aside(self) -> ThreadPoolExecutor:
        with self._lock:
            self._beside = self._beside or ThreadPoolExecutor(1, thread_name_prefix="orion-api")
            return self._beside

    def end_threads(self) -> None:
        """Close the connections that were opened by requests from event loops."""
        with self._lock:
            beside, self._beside = self._beside, None
        if beside is not None:
            beside.shutdown()

    def _request(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> WsgiReply:
        application = self.application()
        with self.requests.one():
            return self._reply(application, method, path, query, headers, body)

    def _reply(
        self, application: Application, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> WsgiReply:
        if not self.requests.knows_thread():
            closer = getattr(application, "thread_closer", None)
            self.requests.add_thread(None if closer is None else closer())
        _refuse_database(application, "refuse_another_database")
        reply = call_application(application, method, path, query, headers, body)
        if reply.status == _TEMPORARY_REDIRECT and reply.headers.get("location", "").startswith("/"):
            # HTTP clients do so as well.
            path, _, query = reply.headers["location"].partition("?")
            reply = call_application(application, method, path, query, headers, body)
        if reply.status >= 500:
            _refuse_database(application, "refuse_lost_database")
        return reply


def _refuse_database(application: Application, check: str) -> None:
    """Raise DatabaseNotReady if the database file is gone or replaced: no repetition of the request would help."""
    refuse = getattr(application, check, None)
    if refuse is None:
        return
    try:
        refuse()
    except Exception as error:
        raise DatabaseNotReady(str(error)) from error


def _runs_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def make_application(entry_point: EntryPoint) -> Application:
    """Return the server's application; if it cannot start, raise an error with the server's own message."""
    try:
        application: Application = entry_point.load()()
    except Exception as error:
        if getattr(error, "code", None) == "database_unusable":
            raise DatabaseNotReady(str(error)) from error
        raise ApiUnreachable(f"The API cannot be served in this process ({type(error).__name__}): {error}") from error
    return application


def server_entry_point() -> EntryPoint:
    """Return the entry point of the server's application; raise an error that says what to do if none is installed."""
    # Reading one package by its name reads one file; all packages are searched only for servers of other names.
    try:
        found = distribution(SERVER_PACKAGE).entry_points.select(group=GROUP, name=NAME)
    except PackageNotFoundError:
        found = entry_points(group=GROUP, name=NAME)
    for entry_point in found:
        return entry_point
    raise ApiUnreachable(
        "ORION_API_URL is not set, and no Orion server is installed to serve the API in this process; "
        f"`pip install {SERVER_PACKAGE}`, or set ORION_API_URL to the address of a running server."
    )


_server = InProcessServer()


def in_process_server() -> InProcessServer:
    """Return the server of this process."""
    return _server


def _forget_in_child() -> None:
    # The server itself does not touch the parent's connections; only this module's locks need replacing.
    global _server
    _server = InProcessServer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _server.requests.before_fork(),
        after_in_parent=lambda: _server.requests.after_fork(),
        after_in_child=_forget_in_child,
    )
