"""Attempts as containers of a Docker engine: created, started, followed by events, and adopted by their labels."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import requests
from docker import APIClient
from docker.errors import (
    APIError,
    DeprecatedMethod,
    DockerException,
    InvalidArgument,
    InvalidVersion,
    NotFound,
    NullResource,
)
from docker.utils import kwargs_from_env, parse_bytes

from orionflow.agent.agent_client import AgentOptions
from orionflow.agent.containers.back_off import BackOff, retry_after
from orionflow.agent.containers.docker_words import FOR_GOOD, ended, seconds_since
from orionflow.agent.containers.orders import Origin, command_of, environment_for, is_loopback
from orionflow.agent.containers.remote import Held, OnEnded, OnReport, OnStarted, Remote
from orionflow.agent.containers.templates import Job, NotStarted
from orionflow.agent.infrastructure import InfrastructureAway, Survivor
from orionflow.logging import agent_logger

LABEL = "orion."
# Seconds after which all containers are listed again, whatever events arrived.
FOLLOW_SECONDS = 30.0
# Seconds after which containers are deleted that ended, and whose agent did not return.
SWEPT_AFTER_SECONDS = 24 * 3600.0
GATEWAY = "host.docker.internal"
LOG_LINES, LONGEST_LOG = 60, 100_000
OUR_MISTAKES = (InvalidArgument, InvalidVersion, DeprecatedMethod, NullResource)
AWAY = (requests.ConnectionError, requests.Timeout, DockerException)


class DockerContainers(Remote):
    """The containers of one agent."""

    can_stand_still = True
    survivors_run = True

    def __init__(
        self, job_of: Callable[[Mapping[str, Any]], Job], origin: Origin, options: AgentOptions,
        on_started: OnStarted, on_report: OnReport, on_ended: OnEnded,
    ) -> None:  # fmt: skip
        super().__init__(on_started, on_report, on_ended)
        self._job_of, self._origin, self._options = job_of, origin, options
        self._connection: APIClient | None = None
        self._connecting = threading.Lock()

    @property
    def _engine(self) -> APIClient:
        with self._connecting:
            if self._connection is None:
                # This asks the engine for its version.
                self._connection = APIClient(version="auto", num_pools=32, **kwargs_from_env())
            return self._connection

    # --- adopting ---

    def _look_for_survivors(self) -> Sequence[Survivor]:
        try:
            found = self._engine.containers(all=True, filters={"label": self._own_labels()})
            return [survivor for one in found if (survivor := self._survivor(one))]
        except AWAY as error:
            raise InfrastructureAway(f"The Docker engine does not answer: {_words(error)}") from error

    def _survivor(self, listed: Mapping[str, Any]) -> Survivor | None:
        labels = listed["Labels"]
        if listed["State"] == "created":
            # The agent ended before the container was started. Its run waits for an agent again.
            self._remove(listed["Id"])
            return None
        try:
            state = self._engine.inspect_container(listed["Id"])["State"]
            age = seconds_since(state.get("StartedAt"), datetime.now(UTC))
            stays = listed["State"] == "exited" and bool(labels.get(f"{LABEL}keep"))
            return Survivor(UUID(labels[f"{LABEL}flow-run-id"]), int(labels[f"{LABEL}epoch"]), age, stays)
        except (NotFound, KeyError, ValueError):
            return None

    def _own_labels(self) -> list[str]:
        own = {"agent": self._origin.agent, "pool": self._origin.pool, "api": self._origin.api}
        return [f"{LABEL}{name}={value}" for name, value in own.items()]

    # --- starting ---

    def _launch(self, held: Held, order: Mapping[str, Any]) -> None:
        job = self._job_of(order["deployment"].get("job_variables") or {})
        held.settings = job
        held.start_seconds = float(job.get("start_timeout_seconds") or 600)
        held.start_by = time.monotonic() + held.start_seconds
        image = str(job.get("image") or "")
        if not image:
            raise NotStarted("Its job variables name no image.")
        self._bring(held, image, str(job.get("image_pull_policy") or "IfNotPresent"))
        if not self._still_wanted(held):
            return
        self._asked(held, lambda: self._create(held, order, job, image), "created")
        for network in list(job.get("networks") or [])[1:]:
            self._asked(held, lambda name=network: self._join(held, name), f"joined to network {network}")  # type: ignore[misc]
        if not self._still_wanted(held):
            self._remove(held.name)
            return
        try:
            self._asked(held, lambda: self._engine.start(held.name), "started")
        except NotStarted:
            self._remove(held.name)
            raise
        held.is_made = held.is_running = True
        self._on_started(held.key, 0)
        agent_logger.info("Container %s of image %s has started.", held.name, image)
        # The container may have ended before its events were followed.
        self._look(held)

    def _bring(self, held: Held, image: str, policy: str) -> None:
        if policy == "Never" or (policy == "IfNotPresent" and self._has(held, image)):
            return
        held.waits = f"Image {image!r} was being pulled."
        self._asked(held, lambda: self._pull(image), f"pulled as image {image!r}")

    def _has(self, held: Held, image: str) -> bool:
        def look() -> bool:
            try:
                self._engine.inspect_image(image)
            except NotFound:
                return False
            return True

        return bool(self._asked(held, look, "looked for"))

    def _pull(self, image: str) -> None:
        # Without a tag, pull the latest image and not all of them. A digest needs no tag.
        for line in self._engine.pull(image, stream=True, decode=True):
            if error := line.get("error"):
                raise DockerException(error)

    def _create(self, held: Held, order: Mapping[str, Any], job: Job, image: str) -> None:
        network_mode = job.get("network_mode")
        own_url = order["env"].get("ORION_API_URL") or order["api_url"]
        url, hosts = job.get("api_url") or own_url, {}
        if not job.get("api_url") and network_mode != "host" and is_loopback(url):
            # The loopback interface of the machine is not that of the container.
            url, hosts = at_host(url, GATEWAY), {GATEWAY: "host-gateway"}
        networks = list(job.get("networks") or [])
        engine = self._engine
        try:
            engine.create_container(
                image,
                command_of(job),
                name=held.name,
                environment=environment_for(order, job, report="stderr", api_url=url),
                labels={**{str(k): str(v) for k, v in (job.get("labels") or {}).items()}, **self._labels(held, order)},
                working_dir=job.get("working_dir"),
                stop_timeout=int(self._options.stop_seconds),
                host_config=engine.create_host_config(**self._host(job, hosts, networks, network_mode)),
                networking_config=(
                    engine.create_networking_config({networks[0]: engine.create_endpoint_config()})
                    if networks
                    else None
                ),
            )
        except APIError as error:
            # The container of this attempt exists: a request whose answer was lost created it.
            if error.status_code != 409:
                raise

    def _host(
        self, job: Job, hosts: Mapping[str, str], networks: Sequence[str], network_mode: str | None
    ) -> dict[str, Any]:  # fmt: skip
        memory = job.get("mem_limit") or self._options.memory_bytes
        swap = job.get("memswap_limit")
        try:
            bounds = {
                "mem_limit": parse_bytes(memory) if memory else None,
                "memswap_limit": parse_bytes(swap) if swap not in (None, "-1") else (-1 if swap else None),
                "nano_cpus": int(float(job["cpus"]) * 1e9) if job.get("cpus") else None,
            }
        except (DockerException, ValueError) as error:
            raise NotStarted(f"A limit in its job variables cannot be read: {error}.") from error
        return {
            **bounds,
            "pids_limit": job.get("pids_limit") or self._options.processes,
            "binds": list(job.get("volumes") or []) or None,
            "network_mode": network_mode or (networks[0] if networks else None),
            "extra_hosts": dict(hosts) or None,
            "security_opt": ["no-new-privileges"],
        }

    def _labels(self, held: Held, order: Mapping[str, Any]) -> dict[str, str]:
        own = {
            "agent": self._origin.agent,
            "pool": self._origin.pool,
            "api": self._origin.api,
            "flow-run-id": order["flow_run_id"],
            "epoch": order["epoch"],
            "flow-run-name": order.get("name") or "",
            "flow-name": order.get("flow_name") or "",
            "deployment-name": order["deployment"].get("name") or "",
            "keep": "" if held.settings.get("auto_remove", True) else "yes",
        }
        return {f"{LABEL}{name}": str(value) for name, value in own.items()}

    def _join(self, held: Held, network: str) -> None:
        with suppress_already():
            self._engine.connect_container_to_network(held.name, network)

    def _asked(self, held: Held, ask: Callable[[], Any], what: str) -> Any:
        """Ask until the engine gives a final answer, or the time to start is over. Raise NotStarted."""
        back_off = BackOff()
        while True:
            try:
                return ask()
            except AWAY as error:
                words = _words(error)
                code = getattr(error, "status_code", None)
                is_final = (
                    isinstance(error, OUR_MISTAKES)
                    or bool(FOR_GOOD.search(words))
                    or (code is not None and code < 500 and code != 429)
                )
                if is_final or "OCI runtime" in words:
                    raise NotStarted(f"The container cannot be {what}. {words}") from error
                held.waits = f"It could not be {what}: {words}"
                pause = retry_after(getattr(getattr(error, "response", None), "headers", None))
                if held.key not in self._held or held.ending or back_off.wait(self._over, pause):
                    raise NotStarted(f"The container could not be {what}. {words}", is_agents_fault=True) from error

    # --- following ---

    def _followers(self) -> Mapping[str, Callable[[], None]]:
        return {"containers": self._follow}

    def _follow(self) -> None:
        began = time.time()
        held = {one.name: one for one in self._all_held() if one.is_running}
        listed = self._engine.containers(all=True, filters={"label": self._own_labels()})
        self._sees("containers")
        states = {one["Names"][0].lstrip("/"): one["State"] for one in listed if one.get("Names")}
        for name, one in held.items():
            if states.get(name) not in ("running", "paused", "restarting"):
                self._look(one)
        self._sweep()
        filters = {"label": self._own_labels(), "type": "container", "event": ["die", "destroy"]}
        # Events since the list was requested: none is missed, and one that arrives twice has no effect.
        events = self._engine.events(since=int(began), until=int(began + FOLLOW_SECONDS), filters=filters, decode=True)
        late = threading.Timer(FOLLOW_SECONDS * 1.5, events.close)
        late.daemon = True
        late.start()
        try:
            for event in events:
                name = event["Actor"]["Attributes"].get("name")
                for one in self._all_held():
                    if one.name == name and one.is_made:
                        self._look(one)
        finally:
            late.cancel()

    def _look(self, held: Held) -> None:
        try:
            container = self._engine.inspect_container(held.name)
        except NotFound:
            self._end(held, None, "Its container was removed by another program")
            return
        log = ""
        if not (container.get("State") or {}).get("Running"):
            # Some drivers keep logs where the engine cannot read them.
            with suppress(APIError):
                log = self._tail_of(held.name)
        if how := self._judged(held, lambda: ended(container, log)):
            status = -held.ending if held.ending and not how.report else how.status
            cause = None if held.ending and "memory" not in (how.cause or "") else how.cause
            self._end(held, status, cause, report=how.report)

    def _tail_of(self, name: str) -> str:
        """Return the last lines of a log, cut to a maximum length."""
        kept = b""
        for part in self._engine.logs(name, stream=True, follow=False, tail=LOG_LINES):
            kept = (kept + part)[-LONGEST_LOG:]
        return kept.decode("utf-8", "replace")

    def _sweep(self) -> None:
        """Remove containers of this server's agents that did not return."""
        old = self._engine.containers(
            all=True, filters={"label": f"{LABEL}api={self._origin.api}", "status": "exited"}
        )  # fmt: skip
        for one in old:
            is_kept = one["Labels"].get(f"{LABEL}keep")
            if not is_kept and one.get("Created", time.time()) < time.time() - SWEPT_AFTER_SECONDS:
                state = self._engine.inspect_container(one["Id"])["State"]
                if seconds_since(state.get("FinishedAt"), datetime.now(UTC)) > SWEPT_AFTER_SECONDS:
                    self._remove(one["Id"])

    def _pause_after(self, error: Exception) -> float | None:
        if not isinstance(error, AWAY):
            return None
        return retry_after(getattr(getattr(error, "response", None), "headers", None))

    # --- ending ---

    def _send(self, held: Held, number: int) -> None:
        try:
            match number:
                case signal.SIGSTOP:
                    self._engine.pause(held.name)
                case signal.SIGCONT:
                    self._engine.unpause(held.name)
                case _:
                    if number == signal.SIGKILL:
                        with suppress(APIError):
                            self._engine.unpause(held.name)
                    self._engine.kill(held.name, number)
        except APIError as error:
            # 409: the container has ended, or is already paused.
            if error.status_code not in (404, 409):
                raise

    def clear(self, key: str) -> None:
        name = f"orion-{key.replace(':', '-')}"
        self._later(lambda: self._clear(name))

    def _clear(self, name: str) -> None:
        with suppress(NotFound):
            labels = (self._engine.inspect_container(name)["Config"] or {}).get("Labels") or {}
            if not labels.get(f"{LABEL}keep"):
                self._remove(name)

    def _remove(self, name: str) -> None:
        try:
            self._engine.remove_container(name, force=True, v=True)
        except APIError as error:
            # 409: another request is removing it.
            if error.status_code not in (404, 409):
                raise


class suppress_already(suppress):  # noqa: N801 (a context manager that reads as a verb)
    """Ignore the error that something is already in the wanted state."""

    def __init__(self) -> None:
        super().__init__(APIError)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, APIError) and error.status_code in (403, 409)


def at_host(url: str, host: str) -> str:
    """Return the address with another host; port and credentials are kept."""
    parts = urlsplit(url)
    before, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{before}{at}{host}{port}"))


def _words(error: Exception) -> str:
    explanation = getattr(error, "explanation", None)
    return str(explanation or error)[:1000]
