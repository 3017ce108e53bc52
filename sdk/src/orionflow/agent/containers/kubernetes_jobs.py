"""Attempts as Jobs of a Kubernetes cluster: created, watched by resource version, ended, and adopted by their labels.

The required rights in one namespace: create, get, list, watch, patch and delete Jobs; list, watch and delete Pods;
create Secrets (but not read them).
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from orionflow.agent.agent_client import AgentOptions
from orionflow.agent.containers.back_off import BackOff, retry_after
from orionflow.agent.containers.docker_words import seconds_since
from orionflow.agent.containers.kubernetes_cluster import (
    AWAY,
    UNREACHABLE,
    Cluster,
    Expired,
    Kind,
    status_of,
    words_of,
)
from orionflow.agent.containers.manifests import REPORT_FILE, Manifest, job_manifest, own_labels, secret_manifest
from orionflow.agent.containers.orders import Origin, environment_for, is_loopback, name_of
from orionflow.agent.containers.pods import Over, Runs, Waiting, disruption_of, verdict_of
from orionflow.agent.containers.remote import Held, OnEnded, OnReport, OnStarted, Remote
from orionflow.agent.containers.templates import Job, NotStarted
from orionflow.agent.infrastructure import InfrastructureAway, Survivor
from orionflow.logging import agent_logger

# Seconds: the failure of a Job may be known before the end of its pod, which says more.
POD_SECONDS = 5.0
GONE_SECONDS = 60.0
# Seconds by which the Job's own deadline is later: the agent ends a run at its limit, and knows the reason.
LATER_SECONDS = 120.0
POD_DELETED = "Its pod was deleted."
# Errors where a repetition may help: too many requests, a quota, a cluster that is starting.
PASSING = frozenset({0, 408, 429})


class KubernetesJobs(Remote):
    """The Jobs of one agent."""

    def __init__(
        self, job_of: Callable[[Mapping[str, Any]], Job], origin: Origin, options: AgentOptions,
        on_started: OnStarted, on_report: OnReport, on_ended: OnEnded,
    ) -> None:  # fmt: skip
        super().__init__(on_started, on_report, on_ended)
        self._job_of, self._origin, self._options = job_of, origin, options
        self._cluster = Cluster(own_labels(origin), self._named_namespace)
        self._removed: set[str] = set()

    def _named_namespace(self) -> str | None:
        with suppress(NotStarted):
            return _namespace_in(self._job_of({}))
        return None

    # --- adopting ---

    def _look_for_survivors(self) -> Sequence[Survivor]:
        try:
            jobs, _ = self._cluster.list("jobs")
        except UNREACHABLE as error:
            raise InfrastructureAway(f"The cluster does not answer: {words_of(error)}") from error
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
            job, name=held.name, namespace=self._checked_namespace(job), order=order, origin=self._origin,
            stop_seconds=self._options.stop_seconds,
        )  # fmt: skip
        if order.get("limit"):
            # For the case that no agent is running to end it.
            left = order["limit"]["ends_at"] - time.time()
            manifest["spec"].setdefault("activeDeadlineSeconds", round(left + held.start_seconds + LATER_SECONDS))
        environment = environment_for(order, job, report=f"file:{REPORT_FILE}", api_url=_api_url(job, order))
        made = self._asked(
            held, "made", lambda: self._cluster.create_job(manifest),
            or_else=lambda: self._cluster.read_job(held.name),
        )  # fmt: skip
        secret = secret_manifest(environment, name=held.name, namespace=self._cluster.namespace, job=made)
        try:
            self._asked(
                held, "given its environment", lambda: self._cluster.create_secret(secret), or_else=lambda: None
            )
            if not self._still_wanted(held):
                self._remove(held.name)
                return
            held.is_made = True
            self._asked(held, "begun", lambda: self._cluster.start_job(held.name))
        except NotStarted:
            self._remove(held.name)
            raise
        agent_logger.info("Job %s is made in namespace %s.", held.name, self._cluster.namespace)

    def _checked_namespace(self, job: Job) -> str:
        named, own = _namespace_in(job), self._cluster.namespace
        if named and named != own:
            raise NotStarted(
                f"Its job variables name the namespace {named!r}, and this agent has rights in {own!r} "
                "alone. Make a work pool for each namespace, with the namespace in its job template."
            )
        return own

    def _asked(
        self, held: Held, what: str, ask: Callable[[], Any], *, or_else: Callable[[], Any] | None = None
    ) -> Any:  # fmt: skip
        """Ask until the cluster gives a final answer. Raise NotStarted.

        A conflict (409) means that an earlier request succeeded, and its answer was lost.
        """
        back_off = BackOff()
        while True:
            try:
                return ask()
            except ValidationError as error:
                raise NotStarted(f"The Job cannot be {what}. {_flaws(error)}") from error
            except AWAY as error:
                status = status_of(error)
                if status == 409 and or_else is not None:
                    ask, or_else = or_else, None
                    continue
                words = words_of(error)
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
        pods, version = self._cluster.list("pods")
        self._sees("pods")
        for pod in pods:
            self._see_pod(pod)
        self._watch_from("pods", version, self._see_pod_event)

    def _follow_jobs(self) -> None:
        held = [one for one in self._all_held() if one.is_made]
        jobs, version = self._cluster.list("jobs")
        self._sees("jobs")
        there = {job["metadata"]["name"] for job in jobs}
        for job in jobs:
            self._see_job(job)
        for one in held:
            if one.name not in there:
                self._gone(one)
        self._watch_from("jobs", version, self._see_job_event)

    def _watch_from(self, kind: Kind, version: str, see: Callable[[str, Manifest], None]) -> None:
        """Continue a watch where it ended, as watches do every few minutes, until the version is discarded."""
        back_off = BackOff()
        while not self._over.is_set():
            try:
                for change, one in self._cluster.events(kind, version, lambda: self._sees(kind)):
                    back_off.succeed()
                    version = (one.get("metadata") or {}).get("resourceVersion") or version
                    if change != "BOOKMARK":
                        see(change, one)
            except Expired as error:
                agent_logger.debug("The cluster has forgotten what was seen last, so it is listed again. %s", error)
                return
            except AWAY as error:
                if status_of(error) in (401, 403):
                    raise
                self._misses(kind, error)
                back_off.wait(self._over, retry_after(getattr(error, "headers", None)))

    def _see_pod_event(self, change: str, pod: Manifest) -> None:
        self._see_pod(pod)
        held = self._held_by(pod)
        if change == "DELETED" and held is not None and held.status is None:
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

    def _see_job_event(self, change: str, job: Manifest) -> None:
        if change == "DELETED":
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
            for pod in self._cluster.list("pods")[0]:
                if self._held_by(pod) is held:
                    self._cluster.delete_pod(pod["metadata"]["name"], grace_seconds=1)
            self._cluster.delete_job(held.name, "Foreground")
        elif number == signal.SIGTERM:
            self._cluster.delete_job(held.name, "Foreground")

    def _remove(self, name: str) -> None:
        self._removed.add(name)
        self._cluster.delete_job(name, "Background")

    def _finish(self, name: str) -> None:
        """End the other containers of a flow that has ended. The Job is kept for its time to live."""
        for pod in self._cluster.list("pods", f"job-name={name}")[0]:
            if (pod.get("status") or {}).get("phase") == "Running":
                self._cluster.delete_pod(pod["metadata"]["name"])

    def clear(self, key: str) -> None:
        """Forget the attempt; the cluster removes its Job, with the pod and the secret, after the time to live."""
        self._removed.discard(name_of(key))


def _namespace_in(job: Job) -> str | None:
    named = ((job.get("job_manifest") or {}).get("metadata") or {}).get("namespace")
    return str(named) if named else None


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


def _flaws(error: ValidationError) -> str:
    """Return which fields of the manifest are wrong, and why, but never their values."""
    found = {".".join(str(part) for part in one["loc"][1:]): one["msg"] for one in error.errors()}
    return "; ".join(f"{place}: {why}" for place, why in list(found.items())[:5])
