"""Programs that start in an interpreter that is warm.

Most of what a short program costs is loading the same modules again. `Popen` and `run` are those of `subprocess` for
Python programs: a real process with its own arguments, environment, folder, streams, warnings, signals and end, but
one that was forked by a launcher (see launcher.py) that has loaded Django, pydantic and the SDK before. Nothing of a
program's settings, database or server is shared: the launcher reads no settings.

Programs start cold where a test is about starting, importing or killing whole trees of processes (it calls
`subprocess` itself), where the interpreter itself reads the environment, and everywhere when `ORION_TEST_COLD` is set,
as `make thorough` and `make chaos` do.
"""

from __future__ import annotations

import atexit
import inspect
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

# What can be done after an interpreter has started; it reads all other PYTHON… settings as it starts.
UNDERSTOOD = {"PYTHONPATH", "PYTHONWARNINGS", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
ORION = str(Path(sys.executable).with_name("orion"))
COLD = bool(os.environ.get("ORION_TEST_COLD"))
_ARGUMENTS = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
# What the launcher does for a program; whoever asks for more gets a cold one.
_USUAL = {
    "close_fds": True, "creationflags": 0, "executable": None, "gid": None, "gids": None, "pass_fds": (),
    "preexec_fn": None, "process_group": -1, "restore_signals": True, "shell": False, "startupinfo": None, "uid": None,
}  # fmt: skip
_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    """`subprocess.Popen`, warm where that can be: its words name this interpreter or `orion`."""

    _has_twin = False
    _ended: socket.socket | None = None

    def _execute_child(self, *arguments: Any) -> None:
        given = _ARGUMENTS.bind(self, *arguments).arguments
        program = None if COLD else _program_of([str(word) for word in given["args"]])
        env = os.environ if given["env"] is None else given["env"]
        if (
            program is None
            or _asks_interpreter(env)
            or any(given.get(k, usual) != usual for k, usual in _USUAL.items())
        ):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        theirs = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        request = program | {
            "env": {str(name): str(value) for name, value in env.items()},
            "cwd": str(given["cwd"] or Path.cwd()),
            "umask": given["umask"],
            "session": given["start_new_session"],
            "twin": self._has_twin,
        }
        streams = [own if own != -1 else number for number, own in enumerate(theirs)]
        self._ended = _launcher(_stage_of(program, env)).ask(request, streams)
        self._child_created = True
        self.pid = int(self._line())
        self._close_pipe_fds(*(given[name] for name in _PIPES))  # type: ignore[attr-defined]

    def _line(self) -> str:
        """Read one line of the launcher's process; each is short and written at once, so one `recv` gets all of it."""
        assert self._ended is not None
        return self._ended.recv(32).decode()

    def _internal_poll(self, *arguments: Any, **options: Any) -> int | None:
        if self._ended is None:
            return super()._internal_poll(*arguments, **options)  # type: ignore[misc, no-any-return]
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self._end()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self._ended is None:
            return super()._wait(timeout)  # type: ignore[misc, no-any-return]
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        return self.returncode

    def _end(self) -> None:
        assert self._ended is not None
        self.returncode = int(self._line())
        self._ended.close()


class AgentPopen(Popen):
    """An agent whose first launcher starts warm as well, for tests that look for no process by what it was started as.

    Neither the words nor the environment in `/proc` are the launcher's then, nor those of the runs that it forks.
    """

    _has_twin = True


def run(
    words: Sequence[str | Path], *, input: str | bytes | None = None, timeout: float | None = None, check: bool = False,
    capture_output: bool = False, text: bool = False, **options: Any,
) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """`subprocess.run` by `Popen` above."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen([str(word) for word in words], text=text, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _program_of(line: list[str]) -> dict[str, Any] | None:
    """Take a command line apart as the interpreter does; None for what cannot be done when it is warm."""
    if line[0] == ORION:
        return {"options": [], "unbuffered": False, "kind": "script", "name": line[0], "words": line[1:]}
    if line[0] != sys.executable:
        return None
    rest, options, unbuffered = line[1:], [], False
    while rest and rest[0] in ("-W", "-u"):
        if rest[0] == "-W":
            options += rest[1:2]
            rest = rest[2:]
        else:
            unbuffered = True
            rest = rest[1:]
    asked = {"options": options, "unbuffered": unbuffered}
    if len(rest) > 1 and rest[0] in ("-c", "-m"):
        return {**asked, "kind": rest[0], "name": rest[1], "words": rest[2:]}
    if not rest or rest[0].startswith("-"):
        return None
    return {**asked, "kind": "script", "name": rest[0], "words": rest[1:]}


def _asks_interpreter(env: Mapping[str, str]) -> bool:
    """Whether the environment has a word for the interpreter, or for the loader of its libraries (LD_PRELOAD)."""
    names = {name for name in {*env, *os.environ} if name.startswith(("PYTHON", "LD_"))} - UNDERSTOOD
    return any(env.get(name) != os.environ.get(name) for name in names if name in env)


# Commands of `orion` that have the server's settings, those that load no Django, and settings that are named.
_OF_THE_SERVER = {"archive", "database", "group", "key", "server", "user"}
_BOTH_WORDS_OF_THE_SERVER = {
    ("secret", "reseal"),
    ("secret", "rotate"),
    ("services", "schedule"),
    ("services", "start"),
}
_WITHOUT_DJANGO = {"agent", "completion", "config", "profile", "task-worker", "version"}
_SERVERS_OF_TESTS = {"tests.browser.sample.still", "tests.site.stuck_server"}
_STAGE_OF_SETTINGS = {"orion_site.settings": "server", "orion_site.settings_embedded": "embedded"}


def _stage_of(program: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """How much of a program may be loaded before it begins (see stages.py): what it would load by itself."""
    if env.get("ORION_BEAT"):
        # Each program of theirs has the settings of the server.
        return "beat"
    if settings := env.get("DJANGO_SETTINGS_MODULE"):
        return _STAGE_OF_SETTINGS.get(settings, "")
    if is_orion := program["name"] in (ORION, "orionflow", "orionflow.cli") and program["kind"] != "-c":
        words = program["words"]
        if tuple(words[:2]) in {("agent", "start"), ("task-worker", "start")}:
            return "broker" if "--broker" in words or env.get("ORION_BROKER_URL") else "agent"
        if {*words[:1]} & _OF_THE_SERVER or tuple(words[:2]) in _BOTH_WORDS_OF_THE_SERVER:
            return "server"
        if {*words[:1]} & _WITHOUT_DJANGO:
            return ""
    if program["name"] in _SERVERS_OF_TESTS:
        return "server"
    may_be_a_server = program["kind"] == "-m" and not is_orion and not program["name"].startswith("tests.")
    return "" if may_be_a_server or env.get("ORION_API_URL") else "embedded"


class _Launcher:
    """The launcher of this process; it ends with the socket between them."""

    def __init__(self, stage: str = "") -> None:
        # Several processes may send, each message as a whole: those that `--side-by-side` forks share this launcher.
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        if stage:
            with theirs:
                _launcher("").begin_stage(stage, theirs)
            # Its process is a child of the first launcher.
            atexit.register(self._socket.close)
            return
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("launcher.py")), str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/",
                env={name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))},
            )  # fmt: skip
        atexit.register(self.close)

    def begin_stage(self, stage: str, theirs: socket.socket) -> None:
        with self._lock:
            socket.send_fds(self._socket, [stage.encode()], [theirs.fileno()])

    def ask(self, request: dict[str, Any], streams: list[int]) -> socket.socket:
        """Hand over a program and its three streams; what comes back receives its process, then its exit code."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            socket.send_fds(self._socket, [b"."], [theirs.fileno(), *streams])
        ours.send(json.dumps(request).encode())
        return ours

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=10)


def start_launchers() -> None:
    """Start all launchers, for the processes that are then forked from this one."""
    if not COLD:
        for stage in ("", "agent", "broker", *sorted({*_STAGE_OF_SETTINGS.values()})):
            _launcher(stage)


@cache
def _launcher(stage: str) -> _Launcher:
    """The launcher of a stage, made when it is first needed."""
    return _Launcher(stage)
