"""Attempts as Jobs of a Kubernetes cluster: created, watched by resource version, ended, and adopted by their labels.

The required rights in one namespace: create, get, list, watch, patch and delete Jobs; list, watch and delete Pods;
create Secrets (but not read them).
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import urllib3
from kubernetes import client
from kubernetes import config as _config
from kubernetes.client.exceptions import ApiException
from pydantic import ValidationError

from orionflow.agent.agent_client import AgentOptions
from orionflow.agent.containers.back_off import BackOff, retry_after
from orionflow.agent.containers.docker_words import seconds_since
from orionflow.agent.containers.manifests import REPORT_FILE, Manifest, job_manifest, own_labels, secret_manifest
from orionflow.agent.containers.orders import Origin, environment_for, is_loopback, name_of
from orionflow.agent.containers.pods import Over, Runs, Waiting, disruption_of, verdict_of
from orionflow.agent.containers.remote import Held, OnEnded, OnReport, OnStarted, Remote
from orionflow.agent.containers.templates import Job, NotStarted
from orionflow.agent.infrastructure import InfrastructureAway, Survivor
from orionflow.logging import agent_logger

config: Any = _config
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WATCH_SECONDS = 120
REQUEST_SECONDS = (5, 30)
PAGE = 500
# Seconds: the failure of a Job may be known before the end of its pod, which says more.
POD_SECONDS = 5.0
GONE_SECONDS = 60.0
# Seconds by which the Job's own deadline is later: the agent ends a run at its limit, and knows the reason.
LATER_SECONDS = 120.0
POD_DELETED = "Its pod was deleted."
# Errors where a repetition may help: too many requests, a quota, a cluster that is starting.
PASSING = frozenset({0, 408, 429})
AWAY = (ApiException, urllib3.exceptions.HTTPError, OSError)


class Expired(Exception):
    """The cluster has discarded the resource version, so objects have to be listed again."""


class KubernetesJobs(Remote):
    """The Jobs of one agent."""

    def __init__(
        self, job_of: Callable[[Mapping[str, Any]], Job], origin: Origin, options: AgentOptions,
        on_started: OnStarted, on_report: OnReport, on_ended: OnEnded,
    ) -> None:  # fmt: skip
        super().__init__(on_started, on_report, on_ended)
        self._job_of, self._origin, self._options = job_of, origin, options
        self._selector = ",".join(f"{name}={value}" for name, value in own_labels(origin).items())
        self._removed: set[str] = set()

    @cached_property
    def _cluster(self) -> client.ApiClient:
        """The cluster that the agent runs in, or the one of its kubeconfig."""
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
        return client.BatchV1Api(self._cluster)

    @property
    def _core(self) -> Any:
        return client.CoreV1Api(self._cluster)

    @cached_property
    def _namespace(self) -> str:
        """The single namespace of this agent: that of the pool's template, of the agent, or of its kubeconfig."""
        with suppress(NotStarted):
            job = self._job_of({})
            named = ((job.get("job_manifest") or {}).get("metadata") or {}).get("namespace")
            if named:
                return str(named)
        with suppress(OSError):
            return NAMESPACE_FILE.read_text().strip()
        with suppress(config.ConfigException, KeyError, TypeError):
            return str(config.list_kube_config_contexts()[1]["context"]["namespace"])
        return "default"

    # --- adopting ---

    def _look_for_survivors(self) -> Sequence[Survivor]:
        try:
            jobs, _ = self._list(self._jobs.list_namespaced_job)
        except (*AWAY, config.ConfigException) as error:
            raise InfrastructureAway(f"The cluster does not answer: {_words(error)}") from error
        return [survivor for one in jobs if (survivor := self._survivor(one))]

    def _survivor(self, job: Manifest) -> Survivor | None:
        labels = job["metadata"].get("labels") or {}
        if job["metadata"].get("deletionTimestamp"):
            return None
        if job["spec"].get("suspend"):
            # The agent ended before the Job was started. Its run waits for an agent again.
            self._remove(job["metadata"]["name"])
            return None
        try:
            age = seconds_since(job["metadata"].get("creationTimestamp"), datetime.now(UTC))
            conditions = (job.get("status") or {}).get("conditions") or []
            stays = any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)
            return Survivor(UUID(labels["orion/flow-run-id"]), int(labels["orion/epoch"]), age, stays)
        except (KeyError, ValueError):
            return None

    # --- starting ---

    def _launch(self, held: Held, order: Mapping[str, Any]) -> None:
        job = self._job_of(order["deployment"].get("job_variables") or {})
        held.start_seconds = float(job.get("start_timeout_seconds") or 600)
        held.start_by = time.monotonic() + held.start_seconds
        manifest = job_manifest(
            job, name=held.name, namespace=self._namespace_of(job), order=order, origin=self._origin,
            stop_seconds=self._options.stop_seconds,
        )  # fmt: skip
        if order.get("limit"):
            # For the case that no agent is running to end it.
            left = order["limit"]["ends_at"] - time.time()
            manifest["spec"].setdefault("activeDeadlineSeconds", round(left + held.start_seconds + LATER_SECONDS))
        environment = environment_for(order, job, report=f"file:{REPORT_FILE}", api_url=_api_url(job, order))
        space = self._namespace
        made = self._asked(
            held, "made", lambda: self._jobs.create_namespaced_job(space, manifest, **_plainly()),
            or_else=lambda: self._jobs.read_namespaced_job(held.name, space, **_plainly()),
        )  # fmt: skip
        secret = secret_manifest(environment, name=held.name, namespace=space, job=made)
        try:
            self._asked(
                held, "given its environment", lambda: self._core.create_namespaced_secret(space, secret, **_plainly()),
                or_else=lambda: None,
            )  # fmt: skip
            if not self._still_wanted(held):
                self._remove(held.name)
                return
            held.is_made = True
            start = {"spec": {"suspend": False}}
            self._asked(held, "begun", lambda: self._jobs.patch_namespaced_job(held.name, space, start, **_plainly()))
        except NotStarted:
            self._remove(held.name)
            raise
        agent_logger.info("Job %s is made in namespace %s.", held.name, space)

    def _namespace_of(self, job: Job) -> str:
        named = ((job.get("job_manifest") or {}).get("metadata") or {}).get("namespace")
        if named and named != self._namespace:
            raise NotStarted(
                f"Its job variables name the namespace {named!r}, and this agent has rights in {self._namespace!r} "
                "alone. Make a work pool for each namespace, with the namespace in its job template."
            )
        return self._namespace

    def _asked(
        self, held: Held, what: str, ask: Callable[[], Any], *, or_else: Callable[[], Any] | None = None
    ) -> Any:  # fmt: skip
        """Ask until the cluster gives a final answer. Raise NotStarted.

        A conflict (409) means that an earlier request succeeded, and its answer was lost.
        """
        back_off = BackOff()
        while True:
            try:
                return _read(ask())
            except ValidationError as error:
                raise NotStarted(f"The Job cannot be {what}. {_flaws(error)}") from error
            except AWAY as error:
                status = getattr(error, "status", 0) or 0
                if status == 409 and or_else is not None:
                    ask, or_else = or_else, None
                    continue
                words = _words(error)
                is_quota = status == 403 and "exceeded quota" in words
                if 400 <= status < 500 and status not in PASSING and not is_quota:
                    raise NotStarted(f"The Job cannot be {what}. {words}") from error
                held.waits = f"It could not be {what}. {words}"
                pause = retry_after(getattr(error, "headers", None))
                if held.key not in self._held or held.ending or back_off.wait(self._over, pause):
                    raise NotStarted(f"The Job could not be {what}. {words}", is_agents_fault=True) from error

    # --- following ---

    def _followers(self) -> Mapping[str, Callable[[], None]]:
        return {"pods": self._follow_pods, "jobs": self._follow_jobs}

    def _follow_pods(self) -> None:
        pods, version = self._list(self._core.list_namespaced_pod)
        self._sees("pods")
        for pod in pods:
            self._see_pod(pod)
        self._watch_from("pods", version, self._core.list_namespaced_pod, self._see_pod_event)

    def _follow_jobs(self) -> None:
        held = [one for one in self._all_held() if one.is_made]
        jobs, version = self._list(self._jobs.list_namespaced_job)
        self._sees("jobs")
        there = {job["metadata"]["name"] for job in jobs}
        for job in jobs:
            self._see_job(job)
        for one in held:
            if one.name not in there:
                self._gone(one)
        self._watch_from("jobs", version, self._jobs.list_namespaced_job, self._see_job_event)

    def _watch_from(
        self, of: str, version: str, listing: Callable[..., Any], see: Callable[[str, Manifest], None]
    ) -> None:  # fmt: skip
        """Continue a watch where it ended, as watches do every few minutes, until the version is discarded."""
        back_off = BackOff()
        while not self._over.is_set():
            try:
                for kind, one in self._events(of, listing, version):
                    back_off.succeed()
                    version = (one.get("metadata") or {}).get("resourceVersion") or version
                    if kind != "BOOKMARK":
                        see(kind, one)
            except Expired as error:
                agent_logger.debug("The cluster has forgotten what was seen last, so it is listed again. %s", error)
                return
            except AWAY as error:
                if (getattr(error, "status", 0) or 0) in (401, 403):
                    raise
                self._misses(of, error)
                back_off.wait(self._over, retry_after(getattr(error, "headers", None)))

    def _events(self, of: str, listing: Callable[..., Any], version: str) -> Iterator[tuple[str, Manifest]]:
        try:
            answer = listing(
                self._namespace, label_selector=self._selector, watch=True, allow_watch_bookmarks=True,
                resource_version=version, timeout_seconds=WATCH_SECONDS, _preload_content=False,
                _request_timeout=(REQUEST_SECONDS[0], WATCH_SECONDS + 30),
            )  # fmt: skip
        except ApiException as error:
            if error.status == 410:
                raise Expired(_words(error)) from error
            raise
        self._sees(of)
        try:
            for line in _lines(answer):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    said = event["object"]
                    if said.get("code") == 410:
                        raise Expired(said.get("message"))
                    raise ApiException(status=said.get("code"), reason=said.get("message"))
                yield event["type"], event["object"]
        finally:
            answer.close()
            answer.release_conn()

    def _list(self, listing: Callable[..., Any]) -> tuple[list[Manifest], str]:
        """Return the agent's objects, page by page, and the version from which they can be watched."""
        found: list[Manifest] = []
        more: dict[str, Any] = {}
        while True:
            answer = _read(
                listing(self._namespace, label_selector=self._selector, limit=PAGE, **more, **_plainly())
            )  # fmt: skip
            found += answer.get("items") or []
            if not (after := answer["metadata"].get("continue")):
                return found, answer["metadata"].get("resourceVersion") or "0"
            more = {"_continue": after}

    def _see_pod_event(self, kind: str, pod: Manifest) -> None:
        self._see_pod(pod)
        held = self._held_by(pod)
        if kind == "DELETED" and held is not None and held.status is None:
            held.waits = disruption_of(pod) or POD_DELETED
            held.status = -int(held.ending or signal.SIGTERM)
            # Its Job fails because of that; if Jobs cannot be watched now, the attempt ends all the same.
            self._after(GONE_SECONDS, lambda: self._job_failed(held, {}))

    def _see_pod(self, pod: Manifest) -> None:
        held = self._held_by(pod)
        if held is None:
            return
        match self._judged(held, lambda: verdict_of(pod)):
            case Runs():
                if not held.is_running:
                    held.is_running = True
                    self._on_started(held.key, 0)
                    agent_logger.info("Pod %s runs.", pod["metadata"]["name"])
            case Waiting(reason, is_final):
                if reason and reason != held.waits:
                    agent_logger.warning("Pod %s waits: %s", pod["metadata"]["name"], reason)
                held.waits = reason
                if is_final:
                    self._end(held, None, reason)
                    self._later(lambda: self._remove(held.name))
            case Over() as over:
                self._pod_ended(held, over)

    def _pod_ended(self, held: Held, over: Over) -> None:
        status = over.status
        if held.ending and not over.report:
            status = -held.ending
        is_wanted = held.ending is not None and not over.is_fault and "memory" not in (over.cause or "")
        self._end(
            held, status, None if is_wanted else over.cause, fault=over.is_fault and not held.ending,
            report=over.report,
        )  # fmt: skip
        # Otherwise the containers that a service mesh adds to the pod would continue.
        if held.ending is None:
            self._later(lambda: self._finish(held.name))

    def _see_job_event(self, kind: str, job: Manifest) -> None:
        if kind == "DELETED":
            if (held := self._held_by(job)) is not None:
                self._gone(held)
        else:
            self._see_job(job)

    def _see_job(self, job: Manifest) -> None:
        held = self._held_by(job)
        if held is None or not held.is_made:
            return
        for one in (job.get("status") or {}).get("conditions") or []:
            if one.get("type") == "Failed" and one.get("status") == "True":
                self._after(POD_SECONDS, lambda condition=one: self._job_failed(held, condition))  # type: ignore[misc]

    def _job_failed(self, held: Held, condition: Mapping[str, Any]) -> None:
        reason, message = condition.get("reason"), condition.get("message")
        if reason == "DeadlineExceeded":
            cause = "The Job took longer than its activeDeadlineSeconds."
        elif held.waits:
            cause = held.waits
        else:
            cause = f"The Job failed ({reason}): {message}"
        is_fault = cause.startswith("The pod was ended by its cluster") or cause == POD_DELETED
        self._end(held, held.status, cause, fault=is_fault and not held.ending)

    def _gone(self, held: Held) -> None:
        if held.ending or held.name in self._removed:
            self._end(held, held.status or -int(held.ending or signal.SIGKILL))
        else:
            self._end(held, None, "Its Job was deleted by another program")

    def _held_by(self, one: Manifest) -> Held | None:
        labels = (one.get("metadata") or {}).get("labels") or {}
        return self._held.get(f"{labels.get('orion/flow-run-id')}:{labels.get('orion/epoch')}")

    def _pause_after(self, error: Exception) -> float | None:
        return retry_after(getattr(error, "headers", None)) if isinstance(error, AWAY) else None

    # --- ending ---

    def _send(self, held: Held, number: int) -> None:
        """End the pod: SIGTERM leaves it its grace period before its node kills it, SIGKILL one second."""
        if number == signal.SIGKILL:
            for pod in self._list(self._core.list_namespaced_pod)[0]:
                if self._held_by(pod) is held:
                    with suppress_missing():
                        self._core.delete_namespaced_pod(
                            pod["metadata"]["name"], self._namespace, grace_period_seconds=1, **_plainly()
                        )
            self._delete(held.name, "Foreground")
        elif number == signal.SIGTERM:
            self._delete(held.name, "Foreground")

    def _remove(self, name: str) -> None:
        self._removed.add(name)
        self._delete(name, "Background")

    def _finish(self, name: str) -> None:
        """End the other containers of a flow that has ended. The Job is kept for its time to live."""
        selector = f"{self._selector},job-name={name}"
        answer = _read(
            self._core.list_namespaced_pod(self._namespace, label_selector=selector, **_plainly())
        )  # fmt: skip
        for pod in answer.get("items") or []:
            if (pod.get("status") or {}).get("phase") == "Running":
                with suppress_missing():
                    self._core.delete_namespaced_pod(pod["metadata"]["name"], self._namespace, **_plainly())

    def _delete(self, name: str, propagation: str) -> None:
        with suppress_missing():
            self._jobs.delete_namespaced_job(name, self._namespace, propagation_policy=propagation, **_plainly())

    def clear(self, key: str) -> None:
        """Forget the attempt; the cluster removes its Job, with the pod and the secret, after the time to live."""
        self._removed.discard(name_of(key))


class suppress_missing(suppress):  # noqa: N801 (a context manager that reads as a verb)
    """Ignore the error that an object does not exist, or is already being deleted."""

    def __init__(self) -> None:
        super().__init__(ApiException)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, ApiException) and error.status in (404, 409)


def _plainly() -> dict[str, Any]:
    """Return options for raw answers: the models of one client release refuse what another cluster's version sends."""
    return {"_preload_content": False, "_request_timeout": REQUEST_SECONDS}


def _read(answer: Any) -> Any:
    return None if answer is None else json.loads(answer.data)


def _lines(answer: Any) -> Iterator[bytes]:
    rest = b""
    for part in answer.stream(amt=None, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line for line in lines if line.strip())


def _api_url(job: Job, order: Mapping[str, Any]) -> str:
    if named := job.get("api_url"):
        return str(named)
    url = str(order["env"].get("ORION_API_URL") or order["api_url"])
    if is_loopback(url):
        raise NotStarted(
            f"A pod cannot reach the API at {url}, which is the agent's own machine. Set api_url in the job template "
            "of the work pool, or ORION_API_URL of the agent, to an address that pods can reach."
        )
    return url


def _words(error: Exception) -> str:
    """Return the cluster's own message, without the headers of its answer."""
    try:
        said = json.loads(getattr(error, "body", None) or "")
        return str(said["message"])[:1000]
    except (ValueError, KeyError, TypeError):
        return (str(getattr(error, "reason", None) or error).splitlines() or [""])[0][:1000]


def _flaws(error: ValidationError) -> str:
    """Return which fields of the manifest are wrong, and why, but never their values."""
    found = {".".join(str(part) for part in one["loc"][1:]): one["msg"] for one in error.errors()}
    return "; ".join(f"{place}: {why}" for place, why in list(found.items())[:5])
