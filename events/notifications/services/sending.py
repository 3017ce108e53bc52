"""One HTTP request to the outside. It connects to an address that was checked before, and follows no redirects."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

from events.notifications.core.delivering import Allowed, read_address
from events.notifications.core.messages import Delivery

# Seconds for a whole delivery, including name resolution, so that a receiver cannot prolong it byte by byte.
DELIVERY_SECONDS = 5.0
# For the connection, and for each part of the response.
TIMEOUTS = (3.05, DELIVERY_SECONDS)


class NotSent(Exception):
    """The request was not made, or its response was an error. `again` says whether another attempt may help."""

    def __init__(self, reason: str, *, again: bool = True, status: int | None = None) -> None:
        self.again = again
        self.status = status
        super().__init__(reason)


def send(delivery: Delivery) -> int:
    """Return the status of the response, or raise NotSent. Addresses contain secrets, so errors show only the host."""
    host = host_of(delivery)
    attempt = _Attempt(delivery, host)
    attempt.start()
    attempt.join(DELIVERY_SECONDS)
    return attempt.outcome()


class _Attempt(threading.Thread):
    """One attempt in its own thread, because libraries limit the wait for each part of a response only."""

    def __init__(self, delivery: Delivery, host: str) -> None:
        super().__init__(name="orion-delivery", daemon=True)
        self._delivery, self._host = delivery, host
        self._status: int | None = None
        self._error: Exception | None = None
        # Protects the two below: a connection that is made after the cut is refused.
        self._mutex = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False

    def run(self) -> None:
        _attempt.set(self)
        try:
            self._status = _request(self._delivery, self._host)
        except Exception as error:
            self._error = error
        finally:
            self._forget_socket()

    def outcome(self) -> int:
        if self.is_alive():
            self._cut()
            raise NotSent(f"{self._host} did not answer within {DELIVERY_SECONDS:g} seconds.")
        # Do not keep the error: its traceback refers to this thread, which would be a reference cycle.
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        assert self._status is not None
        return self._status

    def connected(self, connection: socket.socket) -> None:
        """Remember the connection, to cut it later. A duplicate, because TLS takes over the original."""
        with self._mutex:
            if self._is_over:
                raise OSError("too late")
            self._socket = connection.dup()

    def _cut(self) -> None:
        with self._mutex:
            self._is_over = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _forget_socket(self) -> None:
        with self._mutex:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


_attempt: ContextVar[_Attempt] = ContextVar("attempt")


def _request(delivery: Delivery, host: str) -> int:
    with requests.Session() as session:
        # Do not send this process's proxies and credentials to other parties.
        session.trust_env = False
        session.mount("http://", _ToAddress(host))
        session.mount("https://", _ToAddress(host))
        try:
            answer = session.request(
                delivery.method,
                delivery.url,
                params=dict(delivery.params),
                data=delivery.content,
                headers={"User-Agent": "Orion", **delivery.headers},
                timeout=TIMEOUTS,
                allow_redirects=False,
                # Only the status counts; a receiver could send a body without end.
                stream=True,
            )
        except requests.Timeout:
            raise NotSent(f"{host} did not answer in time.") from None
        except ValueError as error:
            # A header with a line break or an invalid port: no other attempt could succeed.
            raise NotSent(f"The block describes an impossible request: {type(error).__name__}.", again=False) from None
        except requests.RequestException as error:
            raise NotSent(f"{host} could not be reached: {type(error).__name__}.") from None
        with answer:
            return _judge(host, answer.status_code)


def host_of(delivery: Delivery) -> str:
    parts = urlsplit(delivery.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise NotSent("The address of the block does not begin with http:// or https:// and a host.", again=False)
    return parts.hostname


def _judge(host: str, status: int) -> int:
    if status < 300:
        return status
    # A rejection is final. A server with an error or a rate limit may accept the message later.
    again = status >= 500 or status in {408, 425, 429}
    what = "which leads elsewhere, and is not followed" if status < 400 else "and did not take the message"
    raise NotSent(f"{host} answered {status} {what}.", again=again, status=status)


class _Watched:
    """Reports new connections to the attempt, before anything is sent."""

    def _new_conn(self) -> socket.socket:
        connection: socket.socket = super()._new_conn()  # type: ignore[misc]  # of urllib3's connections
        try:
            _attempt.get().connected(connection)
        except OSError:
            connection.close()
            raise
        return connection


class _HTTPConnection(_Watched, HTTPConnectionPool.ConnectionCls):  # type: ignore[misc, valid-type]
    pass


class _HTTPSConnection(_Watched, HTTPSConnectionPool.ConnectionCls):  # type: ignore[misc, valid-type]
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _ToAddress(HTTPAdapter):
    """Connects to the address that was checked, because a second lookup of the name may give another one."""

    def __init__(self, host: str) -> None:
        self._host = host
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(request.url or "")
        address = permitted_address(self._host, parts.port or (443 if parts.scheme == "https" else 80))
        if parts.scheme == "https":
            # The certificate is that of the name, and not of the address.
            tls = {"server_hostname": self._host, "assert_hostname": self._host}
            self.poolmanager.connection_pool_kw.update(tls)
        request.headers["Host"] = parts.netloc.rpartition("@")[2]
        port = f":{parts.port}" if parts.port else ""
        bracketed = f"[{address}]" if ":" in address else address
        request.url = urlunsplit(parts._replace(netloc=f"{bracketed}{port}"))
        return super().send(request, *args, **kwargs)


def permitted_address(host: str, port: int) -> str:
    """Return an address of `host` that may be reached. If one of its addresses is forbidden, the host is refused."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except UnicodeError:
        raise NotSent("The address of the block has no valid host name.", again=False) from None
    except OSError:
        raise NotSent(f"{host} has no address.") from None
    allowed = _allowed(tuple(settings.ORION_WEBHOOK_ALLOW))
    for text in sorted(found):
        if not allowed.permits(host, read_address(text)):
            raise NotSent(
                f"{host} is not a public host. If messages may go there, name it in ORION_WEBHOOK_ALLOW.", again=False
            )
    return sorted(found, key=lambda text: (":" in text, text))[0]


@lru_cache(maxsize=4)
def _allowed(entries: tuple[str, ...]) -> Allowed:
    return Allowed.of(entries)
