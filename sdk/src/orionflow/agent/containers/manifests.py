"""The objects of an attempt in a cluster: a Job, and a Secret with its environment that belongs to the Job."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

from orionflow.agent.containers.orders import Origin, command_of
from orionflow.agent.containers.pods import MAIN, is_label
from orionflow.agent.containers.templates import Job, NotStarted

PREFIX = "orion/"
REPORT_FILE = "/dev/termination-log"
Manifest = dict[str, Any]


def job_manifest(
    job: Job, *, name: str, namespace: str, order: Mapping[str, Any], origin: Origin, stop_seconds: float
) -> Manifest:  # fmt: skip
    """Return the Job of an attempt, which is suspended until its Secret exists. Raise NotStarted."""
    manifest: Manifest = copy.deepcopy(job.get("job_manifest") or {})
    metadata, spec = _part(manifest, "metadata"), _part(manifest, "spec")
    pod_metadata, pod = _part(spec, "template", "metadata"), _part(spec, "template", "spec")
    labels = labels_of(origin, order)
    for one in (metadata, pod_metadata):
        one["labels"] = {**{str(k): str(v) for k, v in (one.get("labels") or {}).items()}, **labels}
        one["annotations"] = {**(one.get("annotations") or {}), **annotations_of(order, origin)}
    metadata |= {"name": name, "namespace": namespace}
    metadata.pop("generateName", None)
    # One attempt is one pod: the server decides whether there is another attempt.
    spec |= {"suspend": True, "backoffLimit": 0, "completions": 1, "parallelism": 1}
    pod |= {"restartPolicy": "Never"}
    pod.setdefault("terminationGracePeriodSeconds", max(1, round(stop_seconds)))
    _equip(_main(pod), job, name)
    return {"apiVersion": "batch/v1", "kind": "Job", **manifest}


def _equip(container: Manifest, job: Job, secret: str) -> None:
    if not container.get("image"):
        raise NotStarted("Its job variables name no image.")
    container["name"] = MAIN
    container["command"], container["args"] = command_of(job), []
    container["envFrom"] = [*(container.get("envFrom") or []), {"secretRef": {"name": secret}}]
    # The report of the run, or the last lines of its log if there is none.
    container["terminationMessagePath"] = REPORT_FILE
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    resources = container.get("resources") or {}
    for kind in ("requests", "limits"):
        if not resources.get(kind):
            resources.pop(kind, None)


def _main(pod: Manifest) -> Manifest:
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers or not all(isinstance(one, dict) for one in containers):
        raise NotStarted("job_manifest.spec.template.spec.containers of its work pool's job template names none.")
    main: Manifest = next((one for one in containers if one.get("name") == MAIN), containers[0])
    return main


def secret_manifest(environment: Mapping[str, str], *, name: str, namespace: str, job: Manifest) -> Manifest:
    """Return the Secret of a created Job: it is deleted with the Job, whoever deletes that."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {key: one for key, one in job["metadata"].get("labels", {}).items() if key.startswith(PREFIX)},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "immutable": True,
        "stringData": dict(environment),
    }


def labels_of(origin: Origin, order: Mapping[str, Any]) -> dict[str, str]:
    return {
        **own_labels(origin),
        f"{PREFIX}flow-run-id": str(order["flow_run_id"]),
        f"{PREFIX}epoch": str(order["epoch"]),
        "app.kubernetes.io/managed-by": "orion-agent",
    }


def own_labels(origin: Origin) -> dict[str, str]:
    """Return the labels by which an agent finds its objects. An invalid label is replaced by its digest."""
    return {
        f"{PREFIX}agent": _as_label("agent", origin.agent),
        f"{PREFIX}pool": _as_label("pool", origin.pool),
        f"{PREFIX}api": origin.api,
    }


def _as_label(kind: str, name: str) -> str:
    return name if is_label(name) else f"{kind}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def annotations_of(order: Mapping[str, Any], origin: Origin) -> dict[str, str]:
    return {
        f"{PREFIX}agent": origin.agent,
        f"{PREFIX}pool": origin.pool,
        f"{PREFIX}flow-run-name": str(order.get("name") or ""),
        f"{PREFIX}flow-name": str(order.get("flow_name") or ""),
        f"{PREFIX}deployment-name": str(order["deployment"].get("name") or ""),
    }


def _part(manifest: Manifest, *path: str) -> Manifest:
    part = manifest
    for name in path:
        inner = part.setdefault(name, {})
        if not isinstance(inner, dict):
            raise NotStarted(f"job_manifest: {'.'.join(path)} of its work pool's job template is not an object.")
        part = inner
    return part
