"""The launcher and its processes without an agent: what is signalled too early, and a machine that has no room."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from orion_site.server_settings.catalogue import CATALOGUE, Entry, database_words, replica_words
from orionflow.agent.active_runs import ActiveRun, ActiveRuns, Stop
from orionflow.agent.guard import Guard
from orionflow.agent.infrastructure import End
from orionflow.agent.launching import ADDRESSES, SECRETS, Launcher, environment_of_runs
from orionflow.agent.stopping import Stopping
from orionflow.agent.zygote import Lines, Zygote
from orionflow.contract.agents import ClaimedRun
from orionflow.contract.runs import FlowRun
from tests.agents.running import below, eventually, is_alive, is_stopped, name_of

# A program in place of a run: it ignores the order on its stdin, and sleeps.
SLEEP = {"command": ["sleep", "60"], "env": {}, "limits": {}}


class Launched:
    """A launcher, and the ends of processes that it reported."""

    def __init__(self) -> None:
        self.ends: dict[str, int | None] = {}
        self.pids: dict[str, int] = {}
        self.launcher = Launcher(self.pids.__setitem__, lambda key, message: None, self._ended)

    def _ended(self, end: End) -> None:
        self.ends[end.key] = end.status


@pytest.fixture
def launched() -> Iterator[Launched]:
    launched = Launched()
    assert launched.launcher.is_ready(60)
    yield launched
    launched.launcher.close()


def test_signal_in_the_first_moment_of_a_process_is_not_lost(launched: Launched):
    keys = [f"run:{number}" for number in range(20)]

    for key in keys:
        launched.launcher.start(key, SLEEP)
        launched.launcher.signal(key, signal.SIGTERM)

    eventually(lambda: len(launched.ends) == len(keys), lambda: launched.ends)
    assert launched.ends == dict.fromkeys(keys, -signal.SIGTERM)


def waiting_process() -> int | None:
    """The process that a launcher of this process has forked ahead."""
    return next((pid for pid in below(os.getpid()) if name_of(pid) == "orion-spare"), None)


def the_waiting_process() -> int:
    """Wait for that process. It must be known before it is signalled: 0 would signal all processes of the tests."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = filter(None, [waiting_process()])
        return bool(found)

    eventually(is_there)
    return found[0]


def test_run_gets_the_process_that_waits_and_another_one_waits_then(launched: Launched):
    waiting = the_waiting_process()

    launched.launcher.start("run:1", SLEEP)

    eventually(lambda: launched.pids)
    assert launched.pids == {"run:1": waiting}
    eventually(lambda: waiting_process() not in (None, waiting))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_signal_to_a_waiting_process_costs_no_run(launched: Launched, number: int):
    waiting = the_waiting_process()

    os.kill(waiting, number)
    # More than a socket buffers, so a stopped process does not receive all of it.
    launched.launcher.start("run:1", SLEEP | {"command": ["true"], "parameters": "x" * 1_000_000})

    eventually(lambda: launched.ends, lambda: launched.pids)
    assert launched.ends == {"run:1": 0}


def test_waiting_process_that_is_frozen_gets_no_order(launched: Launched):
    waiting = the_waiting_process()
    os.kill(waiting, signal.SIGSTOP)
    eventually(lambda: is_stopped(waiting))

    # It would fit into the socket's buffer and stay there.
    launched.launcher.start("run:1", SLEEP | {"command": ["true"]})

    eventually(lambda: launched.ends, lambda: launched.pids)
    assert launched.ends == {"run:1": 0}
    assert launched.pids["run:1"] != waiting
    eventually(lambda: not is_alive(waiting))


def test_waiting_process_that_was_stopped_and_continues_gets_the_order(launched: Launched):
    waiting = the_waiting_process()
    os.kill(waiting, signal.SIGSTOP)
    eventually(lambda: is_stopped(waiting))
    os.kill(waiting, signal.SIGCONT)
    eventually(lambda: not is_stopped(waiting))

    launched.launcher.start("run:1", SLEEP | {"command": ["true"]})

    eventually(lambda: launched.ends, lambda: launched.pids)
    assert (launched.ends, launched.pids) == ({"run:1": 0}, {"run:1": waiting})


def test_waiting_process_that_is_interrupted_leaves_quietly(capfd: pytest.CaptureFixture[str]):
    # Start it here, so that its output is captured here.
    launched = Launched()
    waiting = the_waiting_process()

    os.kill(waiting, signal.SIGINT)

    eventually(lambda: not is_alive(waiting))
    launched.launcher.close()
    assert "Traceback" not in capfd.readouterr().err


SERVERS = {
    "a password of tests": {"ORION_TEST_POSTGRES_PASSWORD": "postgres"},
    "a folder": {"ORION_SERVER_TLS_KEY": "/usr/lib"},
    "a key": {"ORION_SECRET_KEY": "/usr/lib/postgresql"},
}


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_runs_have_the_variables_that_every_program_needs(server: dict[str, str]):
    usual = {"PATH": "/usr/lib/postgresql/16/bin:/usr/bin", "HOME": "/usr/lib/postgresql", "LC_ALL": "postgres"}

    assert environment_of_runs(usual | server) == usual


@pytest.mark.parametrize("name", ["ORION_TEST_PASSWORD", "ORION_SECRET_KEY"])
def test_runs_do_not_inherit_secrets_under_any_name(name: str):
    copies = {"COPY": "p@ss-word", "URL": "postgresql://user:p%40ss-word@host/db", "BROKEN": "http://[p@ss-word"}
    shown = {"OTHER": "a word", "MORE": "http://[", "NOTES": "p@ss"}

    seen = environment_of_runs({name: "p@ss-word", **copies, **shown})

    expected = shown if name == "ORION_SECRET_KEY" else shown | {"BROKEN": copies["BROKEN"]}
    assert seen == expected


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_runs_see_no_copy_of_an_address_that_has_a_password(name: str):
    shown = {"CACHE": "redis://cache:6379/1"}

    assert environment_of_runs({name: "redis://cache:6379/1", **shown}) == shown
    assert (
        environment_of_runs({name: "redis://:word@cache:6379/1", "COPY": "redis://:word@cache:6379/1", **shown})
        == shown
    )


def has_a_login(entry: Entry) -> bool:
    """Whether the page of settings shows an address without its user and password."""
    hides = getattr(entry.read, "__qualname__", "").startswith("_address_without_login")
    return hides or entry.read in (database_words, replica_words)


def test_copies_of_every_secret_setting_of_the_server_are_withheld():
    entries = [entry for subject in CATALOGUE.values() for entry in subject]

    secret = {entry.name for entry in entries if entry.is_secret or has_a_login(entry)}

    assert secret - SECRETS == ADDRESSES
    # The secrets of both sides; the key proves the identity of an agent or a program.
    assert SECRETS - secret == {"ORION_API_KEY"}


def test_run_that_is_lost_before_its_process_starts_is_killed_anyway(launched: Launched):
    claimed = ClaimedRun(flow_run=FlowRun(id=uuid4(), name="r", flow_id=uuid4()), flow_name="f", epoch=1)
    run = ActiveRun(claimed, time.monotonic() + 60)
    held = ActiveRuns()
    held.add(run)
    stopping = Stopping(held, launched.launcher, stop_seconds=60)

    stopping.stop(run, Stop.LOST)
    launched.launcher.start(run.key, SLEEP)

    eventually(lambda: stopping.look() or launched.ends, lambda: launched.ends)
    assert launched.ends == {run.key: -signal.SIGKILL}


def test_machine_without_room_costs_the_launcher_one_run(monkeypatch: pytest.MonkeyPatch):
    def no_room() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_room)
    agent, launcher = socket.socketpair()
    with agent, launcher:
        guard = Guard(os.open(os.devnull, os.O_WRONLY))
        zygote = Zygote(launcher, guard)

        went_on = zygote._follow({"key": "run:1", "order": SLEEP})

        report, ended = Lines(agent).receive() or ()
        for end in (zygote._reports, zygote._reports_in, zygote._wake, zygote._waker, guard):
            end.close()
    assert went_on is None
    assert "No process can be started on this machine" in report["report"]["error"]
    assert ended == {"key": "run:1", "ended": None}
