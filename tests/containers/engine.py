"""A stand-in for a Docker engine: the part of its API that agents use, with local processes for containers."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.containers.stand_in import Handler, Json, LocalProcess, StandIn

NEVER = "0001-01-01T00:00:00Z"


class Container:
    def __init__(self, name: str, body: Json) -> None:
        self.id, self.name, self.body = uuid4().hex * 2, name, body
        self.state: Json = {
            "Status": "created", "Running": False, "Paused": False, "OOMKilled": False, "ExitCode": 0, "Error": "",
            "StartedAt": NEVER, "FinishedAt": NEVER,
        }  # fmt: skip
        self.process: LocalProcess | None = None
        self.created = time.time()

    @property
    def labels(self) -> dict[str, str]:
        return self.body.get("Labels") or {}

    def inspected(self) -> Json:
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.body["Image"],
            "State": self.state,
            "Config": {"Tty": False, "Labels": self.labels, "Env": self.body.get("Env"), "Cmd": self.body.get("Cmd")},
            "HostConfig": self.body.get("HostConfig") or {},
        }


class Engine(StandIn):
    """`images` are there, `registry` can be pulled; everything else is not found."""

    def __init__(self, folder: Path) -> None:
        self.containers: dict[str, Container] = {}
        self.removed: list[str] = []
        self.images, self.registry = {"flows:1"}, {"remote:1"}
        self.pull_error = "manifest for {} not found: manifest unknown"
        self.events: list[Json] = []
        super().__init__(folder)

    @property
    def url(self) -> str:
        return f"tcp://{self.address}"

    def of_run(self, run: str) -> list[Container]:
        with self.lock:
            return [one for one in self.containers.values() if one.labels.get("orion.flow-run-id") == run]

    def close(self) -> None:
        for one in list(self.containers.values()):
            if one.process:
                one.process.kill()
        super().close()

    # --- what a test does to containers ---

    def run_out_of_memory(self, one: Container) -> None:
        one.state["OOMKilled"] = True
        assert one.process
        one.process.kill()

    # --- HTTP ---

    def answer(self, request: Handler, method: str, path: str, query: Mapping[str, str], body: Any) -> None:
        parts = [part for part in path.split("/") if part]
        if parts[0].startswith("v1."):
            parts = parts[1:]
        match method, parts:
            case "GET", ["version"]:
                request.send(200, {"ApiVersion": "1.45", "MinAPIVersion": "1.24", "Version": "27.0.0"})
            case "GET", ["containers", "json"]:
                request.send(200, self._listed(query))
            case "POST", ["containers", "create"]:
                self._create(request, query["name"], body)
            case "GET", ["events"]:
                self._stream_events(request, query)
            case "GET", ["images", *name, "json"]:
                found = "/".join(name) in self.images
                request.send(200 if found else 404, {} if found else {"message": "No such image"})
            case "POST", ["images", "create"]:
                self._pull(request, f"{query['fromImage']}:{query['tag']}")
            case "POST", ["networks", _, "connect"]:
                request.send(200)
            case _, ["containers", name, *what]:
                self._of_container(request, method, name, what[0] if what else "", query)
            case _:
                request.send(404, {"message": f"no such thing: {method} {path}"})

    def _find(self, name: str) -> Container | None:
        with self.lock:
            return next((one for one in self.containers.values() if name in (one.id, one.name)), None)

    def _listed(self, query: Mapping[str, str]) -> list[Json]:
        filters = json.loads(query.get("filters", "{}"))
        with self.lock:
            return [
                {
                    "Id": one.id, "Names": [f"/{one.name}"], "State": one.state["Status"], "Labels": one.labels,
                    "Created": int(one.created),
                }
                for one in self.containers.values()
                if _fits(one.labels, filters) and one.state["Status"] in filters.get("status", [one.state["Status"]])
            ]  # fmt: skip

    def _create(self, request: Handler, name: str, body: Json) -> None:
        with self.lock:
            if self._find(name):
                request.send(409, {"message": f'Conflict. The container name "/{name}" is already in use'})
                return
            if body["Image"] not in self.images:
                request.send(404, {"message": f"No such image: {body['Image']}"})
                return
            made = Container(name, body)
            self.containers[name] = made
        request.send(201, {"Id": made.id, "Warnings": []})

    def _of_container(
        self, request: Handler, method: str, name: str, what: str, query: Mapping[str, str]
    ) -> None:  # fmt: skip
        one = self._find(name)
        if one is None:
            request.send(404, {"message": f"No such container: {name}"})
            return
        match method, what:
            case "GET", "json":
                request.send(200, one.inspected())
            case "GET", "logs":
                request.send(200, _framed(one.process.log.read_bytes() if one.process else b""))
            case "POST", "start":
                self._start(request, one)
            case "POST", "kill":
                self._kill(request, one, int(query.get("signal", 9)))
            case "POST", "pause" | "unpause":
                self._stand_still(request, one, what == "pause")
            case "DELETE", "":
                if one.process:
                    one.process.kill()
                with self.lock:
                    self.containers.pop(one.name, None)
                    self.removed.append(one.name)
                self._notify(one, "destroy")
                request.send(204)

    def _start(self, request: Handler, one: Container) -> None:
        if one.state["Status"] == "running":
            request.send(304)
            return
        environment = dict(line.split("=", 1) for line in one.body.get("Env") or [])
        try:
            one.process = LocalProcess(
                list(one.body["Cmd"]), environment, self.folder / one.name, lambda code: self._ended(one, code),
                one.body.get("WorkingDir"),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            request.send(400, {"message": f"OCI runtime create failed: exec: {error}: unknown"})
            return
        one.state |= {"Status": "running", "Running": True, "StartedAt": _now()}
        self._notify(one, "start")
        request.send(204)

    def _ended(self, one: Container, code: int) -> None:
        with self.lock:
            one.state |= {"Status": "exited", "Running": False, "Paused": False, "ExitCode": code, "FinishedAt": _now()}
        self._notify(one, "die")

    def _kill(self, request: Handler, one: Container, number: int) -> None:
        if one.state["Status"] not in ("running", "paused") or one.process is None:
            request.send(409, {"message": f"container {one.id} is not running"})
            return
        one.process.signal(number)
        request.send(204)

    def _stand_still(self, request: Handler, one: Container, stands: bool) -> None:
        if one.process is None or one.state["Paused"] == stands:
            request.send(409, {"message": "is so already"})
            return
        one.process.signal(signal.SIGSTOP if stands else signal.SIGCONT)
        one.state |= {"Status": "paused" if stands else "running", "Paused": stands}
        request.send(204)

    def _pull(self, request: Handler, image: str) -> None:
        request.begin_stream()
        if image in self.registry:
            self.images.add(image)
            request.stream({"status": f"Status: Downloaded newer image for {image}"})
        else:
            error = self.pull_error.format(image)
            request.stream({"errorDetail": {"message": error}, "error": error})
        request.end_stream()

    # --- events ---

    def _notify(self, one: Container, action: str) -> None:
        attributes = {**one.labels, "name": one.name, "image": one.body["Image"]}
        event = {
            "Type": "container", "Action": action, "Actor": {"ID": one.id, "Attributes": attributes},
            "time": int(time.time()),
        }  # fmt: skip
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def _stream_events(self, request: Handler, query: Mapping[str, str]) -> None:
        filters, since, until = json.loads(query["filters"]), int(query["since"]), int(query["until"])
        request.begin_stream()
        sent, generation = 0, self.generation
        while True:
            with self.changed:
                if sent == len(self.events):
                    self.changed.wait(0.2)
                new, sent = self.events[sent:], len(self.events)
            for event in new:
                fits = event["Action"] in filters["event"] and _fits(event["Actor"]["Attributes"], filters)
                if fits and event["time"] >= since:
                    request.stream(event)
            if self.generation != generation:
                request.end_stream(cut=True)
                return
            if time.time() > until:
                request.end_stream()
                return


def _fits(labels: Mapping[str, str], filters: Mapping[str, Any]) -> bool:
    return all(labels.get(name) == value for name, _, value in (one.partition("=") for one in filters.get("label", [])))


def _framed(log: bytes) -> bytes:
    """Return the log with the headers that separate stdout and stderr in one answer."""
    return struct.pack(">BxxxL", 2, len(log)) + log if log else b""


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "123Z")
