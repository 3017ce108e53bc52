"""The requests of an agent to its Kubernetes cluster: in one namespace, for the objects with its labels.

Answers are read as plain JSON, because the models of one client release refuse what another cluster's version sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import urllib3
from kubernetes import client
from kubernetes import config as _config
from kubernetes.client.exceptions import ApiException

from orionflow.agent.containers.manifests import Manifest

Kind = Literal["pods", "jobs"]
config: Any = _config
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WATCH_SECONDS = 120
# For the connection, and for each part of the answer.
REQUEST_SECONDS = (5, 30)
PAGE = 500
AWAY = (ApiException, urllib3.exceptions.HTTPError, OSError)
UNREACHABLE = (*AWAY, config.ConfigException)


class Expired(Exception):
    """The cluster has discarded the resource version, so objects have to be listed again."""


class Cluster:
    """The cluster that the agent runs in, or the one of its kubeconfig. Requests raise the errors in `AWAY`.

    - `labels`: those of the agent's objects, which alone are listed and watched.
    - `named`: returns the namespace of the pool's template, or None.
    """

    def __init__(self, labels: Mapping[str, str], named: Callable[[], str | None]) -> None:
        self._selector = ",".join(f"{name}={value}" for name, value in labels.items())
        self._named = named

    @cached_property
    def namespace(self) -> str:
        """The single namespace of this agent: that of the pool's template, of the agent, or of its kubeconfig."""
        if named := self._named():
            return named
        with suppress(OSError):
            return NAMESPACE_FILE.read_text().strip()
        with suppress(config.ConfigException, KeyError, TypeError):
            return str(config.list_kube_config_contexts()[1]["context"]["namespace"])
        return "default"

    # --- Jobs with their secrets and pods ---

    def create_job(self, manifest: Manifest) -> Any:
        return _read(self._jobs.create_namespaced_job(self.namespace, manifest, **_plainly()))

    def read_job(self, name: str) -> Any:
        return _read(self._jobs.read_namespaced_job(name, self.namespace, **_plainly()))

    def create_secret(self, manifest: Manifest) -> None:
        _read(self._core.create_namespaced_secret(self.namespace, manifest, **_plainly()))

    def start_job(self, name: str) -> None:
        """Let the cluster make the pod of a suspended Job."""
        _read(self._jobs.patch_namespaced_job(name, self.namespace, {"spec": {"suspend": False}}, **_plainly()))

    def delete_job(self, name: str, propagation: str) -> None:
        with suppress_missing():
            self._jobs.delete_namespaced_job(name, self.namespace, propagation_policy=propagation, **_plainly())

    def delete_pod(self, name: str, grace_seconds: int | None = None) -> None:
        """Delete a pod after the grace period, by default its own."""
        grace = {} if grace_seconds is None else {"grace_period_seconds": grace_seconds}
        with suppress_missing():
            self._core.delete_namespaced_pod(name, self.namespace, **grace, **_plainly())

    # --- lists and watches ---

    def list(self, kind: Kind, *selectors: str) -> tuple[list[Manifest], str]:
        """Return the agent's objects, page by page, and the version from which they can be watched."""
        found: list[Manifest] = []
        more: dict[str, Any] = {"label_selector": ",".join([self._selector, *selectors])}
        while True:
            answer = _read(self._listing(kind)(self.namespace, limit=PAGE, **more, **_plainly()))
            found += answer.get("items") or []
            if not (after := answer["metadata"].get("continue")):
                return found, answer["metadata"].get("resourceVersion") or "0"
            more["_continue"] = after

    def events(self, kind: Kind, version: str, on_open: Callable[[], None]) -> Iterator[tuple[str, Manifest]]:
        """Yield the changes of the agent's objects since a version, until the watch ends. Raises Expired."""
        try:
            # Bookmarks bring newer versions while nothing changes, so that the next watch need not begin with a list.
            # The cluster ends a watch in time; the longer timeout notices a connection that was lost.
            answer = self._listing(kind)(
                self.namespace, label_selector=self._selector, watch=True, allow_watch_bookmarks=True,
                resource_version=version, timeout_seconds=WATCH_SECONDS, _preload_content=False,
                _request_timeout=(REQUEST_SECONDS[0], WATCH_SECONDS + 30),
            )  # fmt: skip
        except ApiException as error:
            if error.status == 410:
                raise Expired(words_of(error)) from error
            raise
        on_open()
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    if status.get("code") == 410:
                        raise Expired(status.get("message"))
                    raise ApiException(status=status.get("code"), reason=status.get("message"))
                yield event["type"], event["object"]
        finally:
            answer.close()
            answer.release_conn()

    def _listing(self, kind: Kind) -> Callable[..., Any]:
        listing: Callable[..., Any] = (
            self._core.list_namespaced_pod if kind == "pods" else self._jobs.list_namespaced_job
        )
        return listing

    # --- the client ---

    @cached_property
    def _client(self) -> client.ApiClient:
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            config.load_kube_config(client_configuration=settings)
        settings.connection_pool_maxsize = 16
        settings.retries = False
        return client.ApiClient(settings)

    @property
    def _jobs(self) -> Any:
        return client.BatchV1Api(self._client)

    @property
    def _core(self) -> Any:
        return client.CoreV1Api(self._client)


class suppress_missing(suppress):  # noqa: N801 (a context manager that reads as a verb)
    """Ignore the error that an object does not exist, or is already being deleted."""

    def __init__(self) -> None:
        super().__init__(ApiException)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, ApiException) and error.status in (404, 409)


def words_of(error: Exception) -> str:
    """Return the cluster's own message, without the headers of its answer."""
    try:
        answer = json.loads(getattr(error, "body", None) or "")
        return str(answer["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        return (str(getattr(error, "reason", None) or error).splitlines() or [""])[0][:1000]


def status_of(error: Exception) -> int:
    """Return the HTTP status of the cluster's answer; 0 if there was none."""
    return getattr(error, "status", 0) or 0


def _plainly() -> dict[str, Any]:
    return {"_preload_content": False, "_request_timeout": REQUEST_SECONDS}


def _read(answer: Any) -> Any:
    # Reading also gives the connection back.
    return json.loads(answer.data)


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for part in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())
