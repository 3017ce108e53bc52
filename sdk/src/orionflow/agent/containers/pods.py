"""A verdict on a pod, from its status: it waits and why, it runs, or it ended and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orionflow.agent.containers.docker_words import FOR_GOOD
from orionflow.agent.containers.reports import last_lines, read_report, shown

Object = Mapping[str, Any]
MAIN = "flow"
# Reasons that do not pass: the name of the image or its pull policy is wrong.
HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull", "CreateContainerError", "RunContainerError"})
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"})
# The secret with the environment is created a moment after the Job.
CONFIGURING = frozenset({"CreateContainerConfigError"})
# Texts by the reason of the condition DisruptionTarget, or of the pod itself.
DISRUPTIONS = {
    "PreemptionByScheduler": "it was preempted for a pod of higher priority",
    "EvictionByEvictionAPI": "it was evicted, as when a node is drained",
    "DeletionByTaintManager": "its node got a taint that it does not tolerate, as when the node is lost",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "its node ran short of resources, or shut down",
    "Evicted": "its node ran short of resources",
    "NodeLost": "its node is lost",
    "NodeShutdown": "its node shut down",
    "Terminated": "its node shut down",
    "Preempting": "it was preempted for a pod of higher priority",
    "UnexpectedAdmissionError": "its node did not admit it",
    "OutOfcpu": "its node had no processor left",
    "OutOfmemory": "its node had no memory left",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """The pod does not run yet; `reason` is reported if it takes too long. `is_final`: it will never run."""

    reason: str | None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Runs:
    pass


@dataclass(frozen=True, slots=True)
class Over:
    """The pod ended. With `is_fault` the cluster is at fault, and not the run."""

    status: int | None
    cause: str | None
    report: dict[str, Any] | None = None
    is_fault: bool = False


Verdict = Waiting | Runs | Over


def verdict_of(pod: Object) -> Verdict:
    status: Object = pod.get("status") or {}
    main = _main(status.get("containerStatuses") or [])
    state: Object = main.get("state") or {}
    if ended := state.get("terminated"):
        return _over(pod, ended)
    if status.get("phase") in ("Failed", "Succeeded"):
        return _over_without_container(pod)
    if "running" in state:
        return Runs()
    return _waiting(status, state.get("waiting") or {})


def disruption_of(pod: Object) -> str | None:
    """Return why the cluster removed the pod; None if it did not."""
    status: Object = pod.get("status") or {}
    for one in status.get("conditions") or []:
        if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
            return _disruption(str(one.get("reason")), one.get("message"))
    if (reason := status.get("reason")) in DISRUPTIONS:
        return _disruption(str(reason), status.get("message"))
    return None


def _disruption(reason: str, message: Any) -> str:
    why = DISRUPTIONS.get(reason, f"its cluster ended it ({reason})")
    detail = f": {str(message).strip().removesuffix('.')}" if message else ""
    return f"The pod was ended by its cluster: {why}{detail}."


def _over(pod: Object, ended: Object) -> Over:
    code, reason = int(ended.get("exitCode") or 0), ended.get("reason")
    report, tail = read_message(str(ended.get("message") or ""))
    if reason == "OOMKilled":
        limit = _memory_limit(pod)
        bound = f"its memory limit of {limit}" if limit else "what its node had left"
        cause = f"The pod ran out of memory (OOMKilled): it needed more than {bound}. Raise memory_limit in its job"
        return Over(code, f"{cause} variables.", None if report and "type" in report else report)
    if disruption := disruption_of(pod):
        return Over(code, disruption, report, is_fault=True)
    if report or code == 0:
        return Over(code, None, report)
    if reason in ("ContainerCannotRun", "StartError"):
        return Over(code, f"The container could not run: {ended.get('message') or reason}")
    if code == 137:
        return Over(
            code, f"The container was killed by SIGKILL; running out of memory is the usual reason.{shown(tail)}"
        )
    return Over(code, f"The container exited with code {code}, and its run did not say why.{shown(tail)}")


def _over_without_container(pod: Object) -> Over:
    """Return the end of a pod that failed as a whole: evicted, not admitted, too late, or in an init container."""
    status: Object = pod.get("status") or {}
    if disruption := disruption_of(pod):
        return Over(None, disruption, is_fault=True)
    if status.get("reason") == "DeadlineExceeded":
        return Over(None, "The pod took longer than its activeDeadlineSeconds.")
    for one in status.get("initContainerStatuses") or []:
        ended = (one.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            _, tail = read_message(str(ended.get("message") or ""))
            name, code = one.get("name"), ended["exitCode"]
            return Over(None, f"The init container {name!r} exited with code {code}.{shown(tail)}")
    detail = ": ".join(str(one) for one in (status.get("reason"), status.get("message")) if one)
    return Over(None, f"The pod failed{f': {detail}' if detail else ', and its cluster does not say why'}")


def _waiting(status: Object, waiting: Object) -> Waiting:
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    problem = f"{reason}: {message}" if message else reason
    if reason in PULLING:
        return Waiting(f"Its image cannot be pulled. {problem}", is_final=bool(FOR_GOOD.search(message)))
    if reason in HOPELESS:
        return Waiting(f"Its container cannot be made. {problem}", is_final=True)
    if reason in CONFIGURING:
        return Waiting(f"Its container cannot be configured. {problem}")
    for one in status.get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return Waiting(f"No node takes it ({one.get('reason') or 'not scheduled'}). {one.get('message') or ''}")
    for one in status.get("initContainerStatuses") or []:
        inner = (one.get("state") or {}).get("waiting") or {}
        if inner.get("reason") in PULLING | HOPELESS:
            return _waiting({}, inner)
    return Waiting(problem or None)


def _main(statuses: Sequence[Object]) -> Object:
    """Return the container of the flow; containers that a service mesh adds outlive it."""
    return next((one for one in statuses if one.get("name") == MAIN), statuses[0] if statuses else {})


def _memory_limit(pod: Object) -> str | None:
    containers = (pod.get("spec") or {}).get("containers") or []
    main = _main(containers)
    limit = ((main.get("resources") or {}).get("limits") or {}).get("memory")
    return str(limit) if limit else None


def read_message(message: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the run's report in a termination message, or the last lines of the log that replace a missing one."""
    report = read_report(message) if message.startswith("{") else None
    return report or None, [] if report is not None else last_lines(message)


_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def is_label(value: str) -> bool:
    """Whether a cluster accepts the value for a label."""
    return _LABEL.fullmatch(value) is not None
