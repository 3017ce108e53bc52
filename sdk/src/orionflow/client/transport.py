"""Transport of a request to the API and back: over HTTP, or into the application of this process.

Retries are implemented here: full jitter, `Retry-After`, and a budget, so that no request is repeated forever.
"""

from __future__ import annotations

import logging
import os
import random
import time
import weakref
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from orionflow.attempt import awake_since
from orionflow.client.ephemeral import EPHEMERAL_URL, InProcessServer, in_process_server
from orionflow.client.responses import Reply, error_from_reply
from orionflow.errors import ApiError, ApiUnreachable, ServerFailed
from orionflow.settings.local_token import LocalToken

if TYPE_CHECKING:
    from pathlib import Path

    import requests

logger = logging.getLogger("orionflow.api")

UNAUTHORIZED = 401
# After one of these a request may be repeated: it was not processed, or the server asks to wait.
PASSING = frozenset({408, 425, 429, 502, 503, 504})
FIRST_DELAY = 0.1
LONGEST_DELAY = 15.0


class Unanswered(Exception):
    """No answer came. `sent`: the API may have received the request; `may_pass`: another try may help."""

    def __init__(self, reason: str, *, sent: bool, may_pass: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent
        self.may_pass = may_pass


class Transport(Protocol):
    """A single exchange with the API, without retries."""

    url: str

    def exchange(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request is repeated, and the longest pause in between."""

    budget_seconds: float = 60.0
    first_delay: float = FIRST_DELAY
    longest_delay: float = LONGEST_DELAY

    def delay(self, attempt: int) -> float:
        """Return a random delay (full jitter), up to a bound that doubles, so clients do not return together."""
        bound = min(self.longest_delay, self.first_delay * 2 ** min(attempt, 16))
        return random.uniform(0, bound)


class EphemeralTransport:
    """Sends requests into the application of this process."""

    url = EPHEMERAL_URL

    def __init__(self) -> None:
        self._prefix = urlsplit(EPHEMERAL_URL).path

    @property
    def server(self) -> InProcessServer:
        return in_process_server()

    def exchange(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        try:
            reply = self.server.request(method, self._prefix + path, query, headers, body)
        except ApiError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ServerFailed(f"{method} {shown(self.url, path)} broke: {what}", status=500) from error
        return Reply(reply.status, reply.headers, reply.content)

    def close(self) -> None:
        return None


class HttpTransport:
    """Sends requests over HTTP; connections are kept and shared by threads."""

    def __init__(
        self,
        url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        connections: int = 32,
        home: Path | None = None,
    ) -> None:
        self.url, self._credentials = without_credentials(url.rstrip("/"))
        # The token of a server that runs on this machine with the same home.
        self.local_token = LocalToken(home, self.url) if home and is_this_machine(self.url) else None
        self._timeout = (connect_timeout, read_timeout)
        self._connections = connections
        self._session: requests.Session | None = None
        _all_http.add(self)

    def exchange(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Reply:
        from requests import exceptions

        address = f"{self.url}{path}?{query}" if query else self.url + path
        try:
            answer = self._send(method, address, headers, body)
            return Reply(answer.status_code, {name.lower(): v for name, v in answer.headers.items()}, answer.content)
        except exceptions.SSLError as error:
            raise Unanswered(_of_tls(error), sent=False, may_pass=False) from error
        # Before `Timeout`, its base: only here is it certain that nothing was sent.
        except exceptions.ConnectTimeout as error:
            raise Unanswered("no connection in time" + self._by_proxy(), sent=False) from error
        except exceptions.Timeout as error:
            raise Unanswered(f"no answer within {self._timeout[1]:g} s" + self._by_proxy(), sent=True) from error
        except exceptions.RequestException as error:
            raise Unanswered(reason_of(error) + self._by_proxy(), sent=not is_refused(error)) from error

    def _by_proxy(self) -> str:
        """Return a remark on the proxy in use, for messages about an API that does not answer."""
        from requests.utils import select_proxy

        proxy = select_proxy(self.url, self.session().proxies)
        return "" if proxy is None else f" through the proxy {without_credentials(proxy)[0]} of the environment"

    def _send(self, method: str, address: str, headers: Mapping[str, str], body: bytes) -> requests.Response:
        sent = {**self._credentials, **headers, "Content-Length": str(len(body))}
        if self.local_token is None or "Authorization" in sent:
            return self._send_once(method, address, sent, body)
        here, proof = self.local_token.prove(address)
        answer = self._send_once(method, here, {**sent, **proof}, body)
        if answer.status_code == UNAUTHORIZED:
            # The token may belong to the server that ran before; a server that answers has written its own token.
            here, proof_by_now = self.local_token.prove(address)
            if proof_by_now != proof:
                return self._send_once(method, here, {**sent, **proof_by_now}, body)
        return answer

    def _send_once(self, method: str, address: str, headers: Mapping[str, str], body: bytes) -> requests.Response:
        from requests import PreparedRequest
        from requests.structures import CaseInsensitiveDict

        # Calls the adapter directly: cookies, redirects and environment lookups in each request would cost a third
        # more.
        session = self.session()
        request = PreparedRequest()
        request.method, request.url, request.body = method, address, body or None
        request.headers = CaseInsensitiveDict(headers)
        verify = True if session.verify is None else session.verify
        adapter = session.get_adapter(address)
        return adapter.send(request, timeout=self._timeout, verify=verify, cert=session.cert, proxies=session.proxies)

    def session(self) -> requests.Session:
        if self._session is None:
            # Without a lock: if two threads come first, one of their two sessions is dropped.
            self._session = new_session(self.url, self._connections)
        return self._session

    def forget(self) -> None:
        """Leave the connections to the parent process without closing them."""
        self._session = None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return the address without credentials, and the header for the name and password that it contained."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return shown.geturl(), {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def new_session(url: str, connections: int = 32) -> requests.Session:
    """Return a session with a pool for many threads, which can also reach an API in this process."""
    import requests
    from requests.adapters import HTTPAdapter

    from orionflow.client.ephemeral_adapter import EphemeralAdapter

    session = requests.Session()
    # Once for the session: `requests` would read the environment for each request.
    settings = session.merge_environment_settings(url, {}, None, None, None)
    session.trust_env = False
    if is_this_machine(url):
        # A proxy would connect to itself under this address.
        settings["proxies"] = {}
    session.proxies, session.verify, session.cert = settings["proxies"], settings["verify"], settings["cert"]
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.mount(EPHEMERAL_URL, EphemeralAdapter())
    return session


def is_this_machine(url: str) -> bool:
    """Whether an address names this machine, so that no proxy may be asked for it."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _of_tls(error: BaseException) -> str:
    reason = reason_of(error)
    if any(words in str(error).lower() for words in ("wrong version number", "record layer failure", "http_request")):
        return f"it does not speak TLS there ({reason}); use http:// in its address, or the port of its TLS proxy"
    return f"its certificate or TLS is not accepted: {reason}"


def reason_of(error: BaseException) -> str:
    """Return the shortest accurate message of a failed connection, which is at the root of the chain."""
    seen: BaseException = error
    while True:
        inner = next((part for part in seen.args if isinstance(part, BaseException)), None)
        inner = getattr(seen, "reason", None) if inner is None else inner
        if not isinstance(inner, BaseException):
            break
        seen = inner
    root = seen.__cause__ or seen.__context__ or seen
    if isinstance(root, OSError) and root.strerror:
        return root.strerror.lower()
    return str(root) or type(root).__name__


def is_refused(error: BaseException) -> bool:
    """Whether the connection was never established, so that the API cannot have received the request."""
    from urllib3.exceptions import NewConnectionError

    chain: BaseException | None = error
    while chain is not None:
        reason = getattr(chain, "reason", None)
        if isinstance(chain, NewConnectionError) or isinstance(reason, NewConnectionError):
            return True
        chain = next((part for part in chain.args if isinstance(part, BaseException)), None)
    return False


def send_patiently(
    transport: Transport,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    patience: Patience,
    idempotent: bool = True,
) -> Reply:
    """Send one request, repeated while its failure may pass and the budget lasts."""
    started = time.monotonic()
    attempt = 0
    while True:
        try:
            return _attempt(transport, method, path, query, headers, body)
        except ApiError as trouble:
            delay = max(patience.delay(attempt), trouble.retry_after)
            waited = time.monotonic() - awake_since(started)
            if not may_pass(trouble, idempotent) or waited + delay > patience.budget_seconds:
                raise
            if attempt == 0:
                logger.warning("%s Trying again for up to %g s.", trouble, patience.budget_seconds)
        time.sleep(delay)
        attempt += 1


def may_pass(trouble: ApiError, idempotent: bool = True) -> bool:
    """Whether the same request may succeed later, and repeating it does nothing twice."""
    if isinstance(trouble, ApiUnreachable):
        silence = trouble.__cause__
        return isinstance(silence, Unanswered) and silence.may_pass and (idempotent or not silence.sent)
    return trouble.status in PASSING


def _attempt(
    transport: Transport, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
) -> Reply:
    try:
        reply = transport.exchange(method, path, query, headers, body)
    except Unanswered as silence:
        raise unreachable(transport.url, silence) from silence
    if reply.status < 400:
        return reply
    raise error_from_reply(reply, method=method, url=shown(transport.url, path))


def shown(url: str, path: str) -> str:
    """Return an address for people. The API inside this process has none."""
    return f"{path} of the API in this process" if url == EPHEMERAL_URL else url + path


def unreachable(url: str, silence: Unanswered) -> ApiUnreachable:
    """Return the error for users when no answer came: where the API was expected, and which setting says so."""
    from orionflow.settings import current_settings

    origin = current_settings().origin("api_url")
    return ApiUnreachable(
        f"The Orion API at {url} does not answer ({silence}); start it with `orion server start`, "
        f"or correct ORION_API_URL (now from: {origin})."
    )


_all_http: weakref.WeakSet[HttpTransport] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A socket shared by two processes would mix their answers.
    for transport in list(_all_http):
        transport.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
