"""Clients of the API for programs: `OrionClient` sends calls and waits, `AsyncOrionClient` awaits the same calls."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from copy import copy
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, overload
from urllib.parse import urlencode

from orionflow.attempt import HEADERS, headers_for
from orionflow.calls import Call, deployments, environments, flow_runs, flows, records, server, task_runs
from orionflow.client.responses import Reply
from orionflow.client.transport import (
    EphemeralTransport,
    HttpTransport,
    Patience,
    Transport,
    new_session,
    send_patiently,
)
from orionflow.contract.masking import is_of_deployment, known
from orionflow.errors import ServerFailed
from orionflow.settings import Settings, current_settings
from orionflow.wire import encode, read_answer

if TYPE_CHECKING:
    import requests

__all__ = ["AsyncOrionClient", "Call", "OrionClient"]

P = ParamSpec("P")
T = TypeVar("T")
# Paths of reports that are only shown, and therefore masked. Inputs of runs, deployments and blocks are sent unchanged.
REPORTS = ("/flow_runs/", "/task_runs/", "/logs", "/artifacts/", "/events")


class Method(Generic[P, T]):
    """A call as a method of both clients: blocking on one, awaited on the other."""

    def __init__(self, call: Callable[P, Call[T]]) -> None:
        self._call = call
        functools.update_wrapper(self, call)  # type: ignore[arg-type]

    @overload
    def __get__(self, client: None, owner: type) -> Method[P, T]: ...
    @overload
    def __get__(self, client: OrionClient, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncOrionClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: OrionClient | AsyncOrionClient | None, owner: type) -> Any:
        if client is None:
            return self

        @functools.wraps(self._call)
        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._call(*args, **kwargs))

        return send


class Methods:
    """The calls of both clients."""

    create_flow = Method(flows.create_flow)
    read_flow = Method(flows.read_flow)
    read_flow_by_name = Method(flows.read_flow_by_name)
    update_flow = Method(flows.update_flow)
    delete_flow = Method(flows.delete_flow)
    read_flows = Method(flows.read_flows)
    count_flows = Method(flows.count_flows)

    create_flow_run = Method(flow_runs.create_flow_run)
    read_flow_run = Method(flow_runs.read_flow_run)
    update_flow_run = Method(flow_runs.update_flow_run)
    delete_flow_run = Method(flow_runs.delete_flow_run)
    set_flow_run_state = Method(flow_runs.set_flow_run_state)
    resume_flow_run = Method(flow_runs.resume_flow_run)
    read_flow_runs = Method(flow_runs.read_flow_runs)
    count_flow_runs = Method(flow_runs.count_flow_runs)
    read_flow_run_history = Method(flow_runs.read_flow_run_history)
    read_flow_run_states = Method(flow_runs.read_flow_run_states)
    explain_flow_run = Method(flow_runs.explain_flow_run)
    store_environment = Method(environments.store_environment)
    read_environment = Method(environments.read_environment)
    diff_flow_runs = Method(flow_runs.diff_flow_runs)
    find_what_is_common = Method(flow_runs.find_what_is_common)
    read_time_of_flow_run = Method(flow_runs.read_time_of_flow_run)
    read_time_of_flow_runs = Method(flow_runs.read_time_of_flow_runs)
    read_flow_run_dependencies = Method(flow_runs.read_flow_run_dependencies)
    read_flow_run_graph = Method(flow_runs.read_flow_run_graph)
    export_flow_run = Method(flow_runs.export_flow_run)
    create_flow_run_input = Method(flow_runs.create_flow_run_input)
    read_flow_run_input = Method(flow_runs.read_flow_run_input)
    read_flow_run_inputs = Method(flow_runs.read_flow_run_inputs)
    delete_flow_run_input = Method(flow_runs.delete_flow_run_input)

    create_deployment = Method(deployments.create_deployment)
    read_deployment = Method(deployments.read_deployment)
    read_deployment_by_name = Method(deployments.read_deployment_by_name)
    update_deployment = Method(deployments.update_deployment)
    delete_deployment = Method(deployments.delete_deployment)
    read_deployments = Method(deployments.read_deployments)
    count_deployments = Method(deployments.count_deployments)
    pause_deployment = Method(deployments.pause_deployment)
    resume_deployment = Method(deployments.resume_deployment)
    create_flow_run_from_deployment = Method(deployments.create_flow_run_from_deployment)

    create_task_run = Method(task_runs.create_task_run)
    read_task_run = Method(task_runs.read_task_run)
    update_task_run = Method(task_runs.update_task_run)
    delete_task_run = Method(task_runs.delete_task_run)
    set_task_run_state = Method(task_runs.set_task_run_state)
    read_task_runs = Method(task_runs.read_task_runs)
    count_task_runs = Method(task_runs.count_task_runs)
    read_task_run_history = Method(task_runs.read_task_run_history)
    read_task_run_states = Method(task_runs.read_task_run_states)
    explain_task_run = Method(task_runs.explain_task_run)

    create_logs = Method(records.create_logs)
    read_logs = Method(records.read_logs)
    create_artifact = Method(records.create_artifact)
    read_artifact = Method(records.read_artifact)
    read_latest_artifact = Method(records.read_latest_artifact)
    update_artifact = Method(records.update_artifact)
    delete_artifact = Method(records.delete_artifact)
    read_artifacts = Method(records.read_artifacts)
    read_latest_artifacts = Method(records.read_latest_artifacts)
    count_artifacts = Method(records.count_artifacts)
    save_search = Method(records.save_search)
    read_saved_search = Method(records.read_saved_search)
    delete_saved_search = Method(records.delete_saved_search)
    read_saved_searches = Method(records.read_saved_searches)

    check_health = Method(server.check_health)
    check_readiness = Method(server.check_readiness)
    read_version = Method(server.read_version)
    read_server_settings = Method(server.read_server_settings)


class OrionClient(Methods):
    """A client of the API: `with OrionClient() as client: client.read_flow_runs(limit=5)`. Threads may share it.

    It has a method for each operation: `read_flow_runs`, `count_flow_runs`, `set_flow_run_state`, `read_logs`,
    `create_flow_run_from_deployment` and so on. Each returns the answer as an object.

    - `api_url`: the address of the API. By default that of the settings (`ORION_API_URL`), or else the API in this
      process.
    - `api_key`: the key that is sent; by default that of the settings, or the one that `orion auth login` stored.
    - `retry_budget_seconds`: how long to repeat requests that got no answer; by default as in the settings.
    - `settings`: settings to use in place of the current ones.

    Methods raise an `ApiError`: `NotFound`, `Conflict`, `InvalidRequest`, `NotAllowed`, `Overloaded`, `ServerFailed`,
    or `ApiUnreachable` if there was no answer.
    """

    def __init__(
        self,
        api_url: str | None = None,
        *,
        api_key: str | None = None,
        retry_budget_seconds: float | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or current_settings()
        budget = settings.api_retry_budget_seconds if retry_budget_seconds is None else retry_budget_seconds
        self.patience = Patience(budget_seconds=budget)
        self.transport = transport_to(api_url or settings.api_url, settings)
        key = api_key or key_for(self.transport, settings)
        # From now on the key is masked in reports of this process.
        known.learn([key] if key else ())
        self._headers = {**standing_headers(key), **headers_for(self.api_url)}

    def writing_as(self, writer: Mapping[str, str]) -> OrionClient:
        """Return a client on the same connections that sends reports of another process.

        The reports are sent in the name of that process's attempt, if it had one, and not in the name of ours.
        """
        other = copy(self)
        ours = {name: value for name, value in self._headers.items() if name not in HEADERS}
        other._headers = {**ours, **writer}
        return other

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return self.transport.url

    @property
    def is_ephemeral(self) -> bool:
        """Whether the API is in this process."""
        return isinstance(self.transport, EphemeralTransport)

    def send(self, call: Call[T], *, patience: Patience | None = None) -> T:
        """Send one call and read its answer; raise an ApiError if there is none."""
        reply = self.exchange(call, b"" if call.body is None else encode(call.body), patience=patience)
        return _read(call, reply, self.api_url)

    def exchange(self, call: Call[Any], body: bytes, *, patience: Patience | None = None) -> Reply:
        """Send a call with an encoded body, and return the raw answer."""
        query = urlencode(call.params, doseq=True) if call.params else ""
        headers = {**self._headers, **call.headers} if call.headers else self._headers
        return send_patiently(
            self.transport,
            call.method,
            call.path,
            query,
            headers,
            _masked(call, body),
            patience=patience or self.patience,
            idempotent=call.idempotent,
        )

    def session(self) -> requests.Session:
        """Return a `requests` session for raw calls. It also reaches an API in this process."""
        session = new_session(self.api_url)
        session.headers.update(self._headers)
        return session

    def close(self) -> None:
        """Close the connections. A `with` block does so at its end."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncOrionClient(Methods):
    """A client for coroutines: `async with AsyncOrionClient() as client: await client.read_flow_runs(limit=5)`.

    It has the methods of `OrionClient`, to be awaited. Each call is sent from a thread, so the event loop is never
    blocked.

    - `api_url`, `options`: as for `OrionClient`.
    - `client`: an `OrionClient` through which to send, in place of a new one.
    """

    def __init__(self, api_url: str | None = None, *, client: OrionClient | None = None, **options: Any) -> None:
        self.sync = client or OrionClient(api_url, **options)

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return self.sync.api_url

    async def send(self, call: Call[T]) -> T:
        """Send one call and read its answer; raise an ApiError if there is none."""
        # Here, because programs without coroutines do not load asyncio.
        from asyncio import to_thread

        return await to_thread(self.sync.send, call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sync.close()


def transport_to(api_url: str | None, settings: Settings) -> Transport:
    """Return the way to the API at an address; None stands for the API in this process."""
    if api_url is None or api_url.rstrip("/") == EphemeralTransport.url:
        return EphemeralTransport()
    return HttpTransport(
        api_url,
        connect_timeout=settings.api_connect_timeout_seconds,
        read_timeout=settings.api_read_timeout_seconds,
        home=settings.home,
    )


def key_for(transport: Transport, settings: Settings) -> str | None:
    """Return the key for this API: that of the settings if they name the same API, otherwise one stored for it."""
    if isinstance(transport, EphemeralTransport):
        return None
    from orionflow.settings.stored_keys import same_address, stored_key, token_of_caller

    if token := token_of_caller.get():
        return token
    # Only if nothing sets a key: ORION_API_KEY=none keeps code on task workers from the user's stored keys.
    if settings.origin("api_key") == "default" and settings.api_key is None:
        return stored_key(settings.home, transport.url)
    is_theirs = settings.api_url is None or same_address(settings.api_url) == same_address(transport.url)
    return settings.api_key if is_theirs else None


def standing_headers(api_key: str | None) -> Mapping[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


def _masked(call: Call[Any], body: bytes) -> bytes:
    """Return the body with secrets masked if it is a report. Values that runs compute with or are found by stay."""
    if (
        not call.path.startswith(REPORTS)
        or "/input" in call.path
        or call.path.endswith(("/resume", "/filter", "/count"))
    ):
        return body
    # The parameters of a run are changed for its next start.
    return known.masked_json(body, has_inputs=_always if call.method == "PATCH" else is_of_deployment)


def _always(value: Any) -> bool:
    return True


def _read(call: Call[T], reply: Reply, api_url: str) -> T:
    if call.read is bytes:
        return reply.content  # type: ignore[return-value]
    if call.read is None or not reply.content:
        return None  # type: ignore[return-value]
    from pydantic import ValidationError

    try:
        kind = call.read() if isinstance(call.read, FunctionType) else call.read
        answer: T = read_answer(kind, reply.content)
    except ValidationError as error:
        # This is not an answer of the API, whatever its status; perhaps a page of a proxy.
        raise ServerFailed(
            f"{call.method} {api_url}{call.path} was answered with something else than Orion's API would: "
            f"{reply.content[:200].decode('utf-8', 'replace')!r}",
            status=502,
        ) from error
    return answer


def get_client(sync_client: bool = False, **options: Any) -> AsyncOrionClient | OrionClient:
    """Return a client of the API, for `async with get_client() as client:` or `with get_client(sync_client=True) as
    client:`.

    - `sync_client`: with `True`, return a blocking `OrionClient` (default: `False`, an `AsyncOrionClient`).
    - `options`: as for `OrionClient`.
    """
    return OrionClient(**options) if sync_client else AsyncOrionClient(**options)
