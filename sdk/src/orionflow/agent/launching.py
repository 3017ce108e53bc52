"""Attempts as processes: start the launcher, request processes from it, report their ends, replace it when it dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from orionflow.agent.containment import kill_group
from orionflow.agent.infrastructure import End, Survivor
from orionflow.agent.zygote import Lines, Message, send_line
from orionflow.client.transport import without_credentials
from orionflow.contract.credentials import KEY_BEGINS
from orionflow.errors import OrionError
from orionflow.logging import agent_logger
from orionflow.settings import PREFIX, environment_name, settings_table

# The broker belongs to agents and task workers: any process that reaches it can send them work. Runs authenticate with
# a token. The address, which may contain a key, is sent with each run.
WITHHELD_FROM_RUNS = frozenset({"broker_url", "api_key", "api_url"})
# Runs get no other variable that contains the value of one of these, even as a part.
SECRETS = frozenset(
    {
        "ORION_API_KEY",
        "ORION_BROKER_URL",
        "ORION_DATABASE_URL",
        "ORION_DATABASE_REPLICA_URL",
        "ORION_ENCRYPTION_KEYS",
        "ORION_OIDC_CLIENT_SECRET",
        "ORION_SECRET_KEY",
    }
)
# Addresses that are secret if they contain a password; without one, other programs use the same address.
ADDRESSES = frozenset({"ORION_ARCHIVE_PATH", "ORION_CHANNEL_LAYER"})
# Orion's variables with such names may contain any secret: runs get no variable with the same value, or with it as a
# password.
LIKE_SECRETS = ("KEY", "KEYS", "SECRET", "PASSWORD", "TOKEN", "BROKER_URL", "DATABASE_URL", "REPLICA_URL")
# No process works without these.
NEEDED = frozenset({"HOME", "LANG", "PATH", "TMPDIR", "USER", "VIRTUAL_ENV"})
LEAST_SECRET = 8
API_URL, API_KEY = "ORION_API_URL", "ORION_API_KEY"
OF_PREFECT = frozenset({"PREFECT_API_KEY", "PREFECT_API_DATABASE_CONNECTION_URL"})
# Seconds between restarts of a launcher that keeps dying.
PAUSE_SECONDS = 1.0


class LauncherGone(OrionError):
    """The launcher died before it had started the process."""


class Launcher:
    """Starts processes. `on_started` gets their ids, `on_report` their reports, `on_ended` their ends."""

    outlives_agent = False
    can_stand_still = True

    def __init__(
        self,
        on_started: Callable[[str, int], None],
        on_report: Callable[[str, Message], None],
        on_ended: Callable[[End], None],
    ) -> None:
        self._on_started, self._on_report, self._on_ended = on_started, on_report, on_ended
        self._lock = threading.Lock()
        self._pids: dict[str, int | None] = {}
        self._channel: socket.socket | None = None
        self._closed = False
        self._ready = threading.Event()
        threading.Thread(target=self._live, name="orion-launcher", daemon=True).start()

    def is_ready(self, patience: float) -> bool:
        """Whether processes can be started, now or within `patience` seconds."""
        return self._ready.wait(patience)

    def survivors(self) -> list[Survivor]:
        """Return none, because the guard kills all processes of a launcher that ended."""
        return []

    def adopt(self, keys: Collection[str]) -> None:
        """Do nothing, as there is nothing to adopt."""

    def clear(self, key: str) -> None:
        """Do nothing, as a process that ended leaves nothing behind."""

    def start(self, key: str, order: Mapping[str, Any]) -> None:
        """Start a process for an order. Raise LauncherGone if the launcher cannot be reached."""
        with self._lock:
            # Before the order is sent: its end may be reported at once.
            self._pids[key] = None
            try:
                self._send({"key": key, "order": dict(order)})
            except OSError as error:
                # Its end, which this thread noticed first, must not be reported for a process that never existed.
                if self._pids.pop(key, "reported") == "reported":
                    return
                raise LauncherGone("The launcher died.") from error

    def signal(self, key: str, number: int) -> None:
        """Signal the process group of an order, if it is still running."""
        with self._lock, suppress(OSError):
            if key in self._pids:
                self._send({"key": key, "signal": number})

    def close(self) -> None:
        """End the launcher and every process that it has started."""
        with self._lock:
            self._closed = True
            if self._channel is not None:
                with suppress(OSError):
                    self._channel.shutdown(socket.SHUT_RDWR)

    def _send(self, message: Message) -> None:
        if self._channel is None:
            raise ConnectionResetError
        send_line(self._channel, message)

    def _live(self) -> None:
        while not self._closed:
            began = time.monotonic()
            try:
                self._one_life()
            except OSError as error:
                agent_logger.error("The launcher of the agent cannot be started: %s.", error.strerror)
            if not self._closed:
                time.sleep(max(0.0, PAUSE_SECONDS - (time.monotonic() - began)))

    def _one_life(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "orionflow.agent.zygote", str(theirs.fileno())]
            # A session of its own: Ctrl-C is for the agent, which decides how the runs end.
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=environment_of_runs(),
            )
        with self._lock:
            self._channel = ours
            if self._closed:
                # `close` was called when there was no channel yet.
                ours.shutdown(socket.SHUT_RDWR)
        for message in Lines(ours):
            self._receive(message)
        self._clean_up(process, ours)

    def _receive(self, message: Message) -> None:
        if "ready" in message:
            self._ready.set()
            return
        key = message["key"]
        if "pid" in message:
            with self._lock:
                self._pids[key] = message["pid"]
            self._on_started(key, message["pid"])
        elif "report" in message:
            self._on_report(key, message["report"])
        else:
            with self._lock:
                self._pids.pop(key, None)
            self._on_ended(End(key, message["ended"]))

    def _clean_up(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        """Kill the remaining processes of a launcher that died, and report them as ended."""
        if not self._closed:
            was_ready = "and is started again" if self._ready.is_set() else "before it was ready; what it said is above"
            agent_logger.error("The launcher of the agent ended with %s, %s.", process.wait(), was_ready)
        self._ready.clear()
        process.kill()
        process.wait()
        with self._lock:
            channel.close()
            self._channel = None
            orphans, self._pids = self._pids, {}
        for key, pid in orphans.items():
            if pid is not None and pid != os.getpid():
                kill_group(pid)
            self._on_ended(End(key, None))


def environment_of_runs(
    environment: Mapping[str, str] | None = None, withheld: Collection[str] = WITHHELD_FROM_RUNS
) -> dict[str, str]:
    """Return the variables that a run may see: all except Orion's, and the SDK's settings that are not withheld.

    The environment of an agent may also contain the keys of the server, as under `orion server start`. Code of a
    deployment needs none of them, and would expose them to every library that it imports.
    """
    given = os.environ if environment is None else environment
    allowed = {environment_name(one.name) for one in settings_table() if one.name not in withheld}
    names = {name for name in given if name not in OF_PREFECT and (not name.startswith(PREFIX) or name in allowed)}
    own = {name: given[name] for name in given.keys() - names if name.startswith(PREFIX)}
    secrets = {name: value for name, value in own.items() if len(value) >= LEAST_SECRET and not _is_path(value)}
    parts = [value for name, value in secrets.items() if name in SECRETS or (name in ADDRESSES and _password_in(value))]
    wholes = {value for name, value in secrets.items() if name.endswith(LIKE_SECRETS)}

    def has_secret(value: str) -> bool:
        return any(one in value for one in parts) or value in wholes or _password_in(value) in wholes

    return {name: given[name] for name in given if name in names and (_is_needed(name) or not has_secret(given[name]))}


def _is_needed(name: str) -> bool:
    return name in NEEDED or name.startswith("LC_")


def _is_path(value: str) -> bool:
    """Whether a value is the path of a secret, and not a secret itself."""
    return value.startswith(("/", "~", "./", "../")) and os.path.exists(os.path.expanduser(value))


def _password_in(value: str) -> str | None:
    try:
        password = urlsplit(value).password
    except ValueError:
        return None
    return None if password is None else unquote(password)


def withhold_from_this_process() -> None:
    """Remove variables that the code of this process may not see: the key and the broker. Keep the API's address."""
    url = os.environ.get(API_URL)
    for name in set(os.environ) - set(environment_of_runs()):
        del os.environ[name]
    # Set explicitly, so that no key is read from files.
    os.environ[API_KEY] = "none"
    if url is not None:
        os.environ[API_URL] = without_key(url)


def without_key(url: str) -> str:
    """Return an address of the API, without its password if that is an API key."""
    # An API key may be the password in an address.
    has_key = (urlsplit(url).password or "").startswith(KEY_BEGINS)
    return without_credentials(url)[0] if has_key else url
