"""A stand-in for a Kubernetes cluster: the API of Jobs, Pods and Secrets, with a small controller and local processes.

Every Job and Secret that is made is validated with the published schemas of Kubernetes.
"""

from __future__ import annotations

import copy
import json
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate

from tests.containers.stand_in import Handler, Json, LocalProcess, StandIn

VERSION = "1.31"
KINDS = {"jobs": "Job", "pods": "Pod", "secrets": "Secret"}
STATUS = {
    404: "NotFound",
    409: "AlreadyExists",
    410: "Expired",
    422: "Invalid",
    403: "Forbidden",
    429: "TooManyRequests",
}


class Cluster(StandIn):
    """Pods of images in `images` run; `stuck` says by image what others wait for."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[str, dict[str, Json]] = {kind: {} for kind in KINDS}
        self.history: list[tuple[int, str, str, Json]] = []
        self.version, self.oldest = 100, 0
        self.processes: dict[str, LocalProcess] = {}
        self.images = {"flows:1"}
        self.stuck: dict[str, Json] = {}
        self.grace: dict[str, int] = {}
        # Tests that look at states by themselves.
        self.starts_pods = True
        super().__init__(folder)

    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        path.parent.mkdir(parents=True, exist_ok=True)
        here = {"cluster": "c", "user": "u", "namespace": "flows"}
        written = {
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": f"http://{self.address}"}}],
            "users": [{"name": "u", "user": {"token": "of-the-agent"}}],
            "contexts": [{"name": "x", "context": here}],
        }  # fmt: skip
        path.write_text(json.dumps(written))
        return path

    def error(self, status: int, message: str) -> Json:
        reason = STATUS.get(status, "InternalError")
        return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason,
                "message": message}  # fmt: skip

    def close(self) -> None:
        for one in list(self.processes.values()):
            one.kill()
        super().close()

    # --- what a test does to it ---

    def pod_of(self, run: str) -> Json | None:
        with self.lock:
            found = [one for one in self.objects["pods"].values() if _labels(one).get("orion/flow-run-id") == run]
        return found[0] if found else None

    def job_of(self, run: str) -> Json | None:
        with self.lock:
            found = [one for one in self.objects["jobs"].values() if _labels(one).get("orion/flow-run-id") == run]
        return found[0] if found else None

    def run_out_of_memory(self, run: str) -> None:
        pod = self.pod_of(run)
        assert pod
        pod["reasonOfEnd"] = "OOMKilled"
        self.processes[pod["metadata"]["name"]].kill()

    def evict(self, run: str, message: str) -> None:
        """Fail the pod as a node does that is short of memory or disk, with the reason `Evicted`."""
        pod = self.pod_of(run)
        assert pod
        condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}
        pod["status"] |= {"reason": "Evicted", "message": message, "conditions": [condition]}
        self.processes[pod["metadata"]["name"]].kill()

    def delete_pod(self, run: str) -> None:
        """Delete the run's pod, as with `kubectl delete pod`."""
        pod = self.pod_of(run)
        assert pod
        self._end_pod(pod, 1)

    def forget_history(self) -> None:
        """From now on refuse to watch from any earlier version, as too old."""
        with self.changed:
            self.oldest = self.version + 1
            self.version += 1
        self.drop_streams()

    # --- HTTP ---

    def answer(self, request: Handler, method: str, path: str, query: Mapping[str, str], body: Any) -> None:
        parts = path.strip("/").split("/")
        space = parts.index("namespaces") if "namespaces" in parts else -1
        if space < 0:
            request.send(404, self.error(404, f"no such path: {path}"))
            return
        namespace, kind, *rest = parts[space + 1 :]
        if namespace != "flows":
            request.send(403, self.error(403, f"the agent may do nothing in {namespace}"))
            return
        match method, rest:
            case "GET", []:
                self._list(request, kind, query)
            case "POST", []:
                self._make(request, kind, body)
            case "GET", [name]:
                found = self.objects[kind].get(name)
                request.send(200 if found else 404, found or self.error(404, f"{kind} {name} not found"))
            case "PATCH", [name]:
                self._patch(request, kind, name, body)
            case "DELETE", [name]:
                self._delete(request, kind, name, query, body or {})

    def _list(self, request: Handler, kind: str, query: Mapping[str, str]) -> None:
        wanted = [one.partition("=")[::2] for one in query.get("labelSelector", "").split(",") if one]
        if query.get("watch") == "true":
            self._stream(request, kind, wanted, query)
            return
        with self.lock:
            items = [copy.deepcopy(one) for one in self.objects[kind].values() if _fits(one, wanted)]
            version = str(self.version)
        request.send(200, {"kind": f"{KINDS[kind]}List", "items": items, "metadata": {"resourceVersion": version}})

    def _make(self, request: Handler, kind: str, body: Json) -> None:
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            request.send(422, self.error(422, error.message))
            return
        name = body["metadata"]["name"]
        with self.lock:
            if name in self.objects[kind]:
                request.send(409, self.error(409, f'{kind} "{name}" already exists'))
                return
            made = copy.deepcopy(body)
            made["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": _now()}
            made.setdefault("status", {})
            self._store(kind, made, "ADDED")
        request.send(201, made)
        if kind == "jobs" and not body["spec"].get("suspend"):
            self._begin(made)

    def _patch(self, request: Handler, kind: str, name: str, body: Json) -> None:
        with self.lock:
            one = self.objects[kind].get(name)
            if one is None:
                request.send(404, self.error(404, f"{kind} {name} not found"))
                return
            was_suspended = one["spec"].get("suspend")
            one["spec"] |= body["spec"]
            self._store(kind, one, "MODIFIED")
        request.send(200, one)
        if was_suspended and not one["spec"]["suspend"]:
            self._begin(one)

    def _delete(
        self, request: Handler, kind: str, name: str, query: Mapping[str, str], body: Json
    ) -> None:  # fmt: skip
        with self.lock:
            one = self.objects[kind].get(name)
        if one is None:
            request.send(404, self.error(404, f'{kind} "{name}" not found'))
            return
        one["metadata"]["deletionTimestamp"] = _now()
        request.send(200, one)
        if kind == "pods":
            grace = query.get("gracePeriodSeconds") or body.get("gracePeriodSeconds")
            self._end_pod(one, int(grace) if grace else _grace(one))
        else:
            foreground = query.get("propagationPolicy") == "Foreground"
            threading.Thread(target=self._delete_job, args=(one, foreground), daemon=True).start()

    def _stream(self, request: Handler, kind: str, wanted: list[Any], query: Mapping[str, str]) -> None:
        since = int(query["resourceVersion"])
        request.begin_stream()
        if since < self.oldest:
            error = self.error(410, f"too old resource version: {since} ({self.oldest})")
            request.stream({"type": "ERROR", "object": error})
            request.end_stream()
            return
        generation, ends = self.generation, time.time() + float(query.get("timeoutSeconds", 60))
        while time.time() < ends:
            with self.changed:
                new = [one for one in self.history if one[0] > since]
                if not new and self.generation == generation:
                    self.changed.wait(0.2)
            for version, of_kind, event, one in new:
                since = version
                if of_kind == kind and _fits(one, wanted):
                    request.stream({"type": event, "object": one})
            if self.generation != generation:
                request.end_stream(cut=True)
                return
        request.end_stream()

    # --- its controllers ---

    def _store(self, kind: str, one: Json, event: str) -> None:
        with self.changed:
            self.version += 1
            one["metadata"]["resourceVersion"] = str(self.version)
            name = one["metadata"]["name"]
            if event == "DELETED":
                self.objects[kind].pop(name, None)
            else:
                self.objects[kind][name] = one
            self.history.append((self.version, kind, event, copy.deepcopy(one)))
            self.changed.notify_all()

    def _begin(self, job: Json) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{uuid4().hex[:5]}"
        labels = {**template["metadata"]["labels"], "job-name": job["metadata"]["name"]}
        pod: Json = {
            "apiVersion": "v1", "kind": "Pod", "spec": copy.deepcopy(template["spec"]),
            "metadata": {"name": name, "labels": labels, "uid": str(uuid4())},
            "status": {"phase": "Pending", "conditions": []},
        }  # fmt: skip
        self._store("pods", pod, "ADDED")
        image = pod["spec"]["containers"][0]["image"]
        if image in self.stuck:
            pod["status"] |= self.stuck[image]
            self._store("pods", pod, "MODIFIED")
        elif image in self.images and self.starts_pods:
            self._run(job, pod)

    def _run(self, job: Json, pod: Json) -> None:
        container, name = pod["spec"]["containers"][0], pod["metadata"]["name"]
        environment = {one["name"]: one["value"] for one in container.get("env") or []}
        for source in container.get("envFrom") or []:
            secret = self.objects["secrets"][source["secretRef"]["name"]]
            environment |= secret.get("stringData") or {}
        report = self.folder / name / "termination-log"
        report.parent.mkdir(parents=True, exist_ok=True)
        # A container has this file to itself; a process of this machine gets another one.
        environment["ORION_AGENT_REPORT"] = environment["ORION_AGENT_REPORT"].replace(
            "/dev/termination-log", str(report)
        )
        try:
            self.processes[name] = LocalProcess(
                container["command"], environment, self.folder / name,
                lambda code: self._ended(job, pod, code, report), container.get("workingDir"),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            waiting = {"reason": "RunContainerError", "message": f"failed to start container: {error}"}
            self._state(pod, "Pending", {"waiting": waiting})
            return
        self._state(pod, "Running", {"running": {"startedAt": _now()}})

    def _state(self, pod: Json, phase: str, state: Json) -> None:
        with self.lock:
            pod["status"]["phase"] = phase
            pod["status"]["containerStatuses"] = [{"name": "flow", "image": "flows:1", "state": state}]
            if pod["metadata"]["name"] in self.objects["pods"]:
                self._store("pods", pod, "MODIFIED")

    def _ended(self, job: Json, pod: Json, code: int, report: Path) -> None:
        message = report.read_text() if report.exists() else ""
        if not message and code:
            message = self.processes[pod["metadata"]["name"]].log.read_text()[-2048:]
        reason = pod.pop("reasonOfEnd", "Completed" if code == 0 else "Error")
        ended = {"exitCode": code, "reason": reason, "message": message, "finishedAt": _now()}
        self._state(pod, "Succeeded" if code == 0 else "Failed", {"terminated": ended})
        if not job["metadata"].get("deletionTimestamp"):
            self._finish_job(job, "Complete" if code == 0 else "Failed")

    def _finish_job(self, job: Json, kind: str) -> None:
        with self.lock:
            if job["metadata"]["name"] not in self.objects["jobs"]:
                return
            failed = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
            condition = {"type": kind, "status": "True", **(failed if kind == "Failed" else {})}
            job["status"] = {"conditions": [condition]}
            self._store("jobs", job, "MODIFIED")

    def _end_pod(self, pod: Json, grace: int) -> None:
        threading.Thread(target=self._end_pod_now, args=(pod, grace), daemon=True).start()

    def _end_pod_now(self, pod: Json, grace: int) -> None:
        name = pod["metadata"]["name"]
        pod["metadata"]["deletionTimestamp"] = _now()
        if process := self.processes.get(name):
            process.signal(signal.SIGTERM)
            try:
                process.process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.process.wait()
            time.sleep(0.05)
        with self.lock:
            if name in self.objects["pods"]:
                self._store("pods", pod, "DELETED")

    def _delete_job(self, job: Json, foreground: bool) -> None:
        name = job["metadata"]["name"]
        if not foreground:
            self._store("jobs", job, "DELETED")
        for pod in [one for one in self.objects["pods"].values() if _labels(one).get("job-name") == name]:
            self._end_pod_now(pod, _grace(pod))
        with self.lock:
            for secret in list(self.objects["secrets"].values()):
                owners = secret["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == job["metadata"]["uid"] for owner in owners):
                    self._store("secrets", secret, "DELETED")
            if foreground:
                self._store("jobs", job, "DELETED")


def _labels(one: Json) -> dict[str, str]:
    return one["metadata"].get("labels") or {}


def _fits(one: Json, wanted: list[Any]) -> bool:
    return all(_labels(one).get(name) == value for name, value in wanted)


def _grace(pod: Json) -> int:
    return int(pod["spec"].get("terminationGracePeriodSeconds", 30))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
