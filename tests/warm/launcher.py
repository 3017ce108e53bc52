"""Loads what most programs load, and forks one process for each that `warm.run` asks for.

It has one thread and reads no settings, so that what it forks is as good as a new interpreter. Each request comes with
a socket of its own and three streams; the socket is answered with the id of the process, and with its exit code in the
end.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

# Modules that look at neither settings nor the registry of apps when they are loaded.
MODULES = (
    "orionflow.cli", "orionflow.cli.resource", "orionflow.cli.root", "orionflow.cli.run_tables",
    "orionflow.cli.session", "orionflow.client.ephemeral", "orionflow.code.entrypoints", "orionflow.contract",
    "orionflow.engine.invoke", "orionflow.flows", "orionflow.futures", "orionflow.results",
    "orionflow.settings.profiles", "orionflow.tasks", "orionflow.wire.encoding", "django.conf",
    "django.contrib.auth.hashers", "django.core.handlers.wsgi", "django.core.management",
    "django.db.backends.sqlite3.base", "django.db.models", "django.forms", "django.http", "django.urls",
    "rest_framework.exceptions", "rest_framework.settings", "asyncio", "cloudpickle", "httpx", "jinja2", "sqlparse",
    "tomllib._parser",
)  # fmt: skip


AT_FIRST = list(warnings.filters)
# Functions that are called in each program before it starts.
RENEWED: list[Callable[[], None]] = []
MOST_BYTES = 200_000


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Pydantic looks through all installed packages for its plugins, once.
    with contextlib.suppress(ImportError):
        wire = importlib.import_module("orionflow.wire")
        wire.prepare_for(wire.Flow, wire.FlowRun, wire.TaskRun, wire.OrchestrationResult)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(control)


def serve(control: socket.socket) -> None:
    """Fork what is asked for: a program, which brings four descriptors, or a stage, whose control is the only one."""
    gc.collect()
    gc.freeze()
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    callers: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(1000)
            answer_for_ended(callers)
        if control not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 20, 4)
        if not message:
            return None
        connection, *streams = descriptors
        request = json.loads(socket.socket(fileno=os.dup(connection)).recv(MOST_BYTES)) if streams else {}
        if (process := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for ours in (control, woken, wake, *callers.values()):
                ours.close()
            if not streams:
                load_stage(message.decode())
                return serve(socket.socket(fileno=connection))
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, max(descriptors) + 1)
            if request.pop("twin"):
                request = have_twin() or request
            return run_to_its_end(request)
        for stream in streams:
            os.close(stream)
        caller = socket.socket(fileno=connection)
        if streams:
            callers[process] = caller
            with contextlib.suppress(OSError):
                caller.send(b"%d" % process)
        else:
            caller.close()


def have_twin() -> dict[str, Any] | None:
    """Fork a process that becomes the launcher of runs when this program, an agent, starts one; return in it only then.

    It is a child of the agent, as the launcher is. A second one starts cold.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if process := os.fork():
        theirs.close()
        subprocess.Popen._execute_child = _by_twin(process, ours)  # type: ignore[attr-defined]
        return None
    ours.close()
    with theirs:
        message, descriptors, _, _ = socket.recv_fds(theirs, MOST_BYTES, 20)
    if not message:
        # The agent has ended, or has become another program.
        os._exit(0)
    request = json.loads(message)
    for place, descriptor in enumerate(descriptors):
        # Out of the way of the numbers that they get.
        os.dup2(descriptor, 100 + place)
        os.close(descriptor)
    for place, number in enumerate((0, *request.pop("kept"))):
        os.dup2(100 + place, number)
        os.close(100 + place)
    return request


def _by_twin(process: int, twin: socket.socket) -> Callable[..., None]:
    usual = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    signature = inspect.signature(usual)

    def execute(self: subprocess.Popen[bytes], *arguments: Any) -> None:
        given = signature.bind(self, *arguments).arguments
        if list(given["args"])[:3] != [sys.executable, "-P", "-m"]:
            return usual(self, *arguments)
        subprocess.Popen._execute_child = usual  # type: ignore[attr-defined]
        request = {
            "kind": "-P -m", "name": given["args"][3], "words": given["args"][4:], "options": [], "unbuffered": False,
            "umask": -1, "env": dict(given["env"]), "cwd": os.getcwd(), "session": given["start_new_session"],
            "kept": given["pass_fds"],
        }  # fmt: skip
        with twin:
            try:
                socket.send_fds(twin, [json.dumps(request).encode()], [given["p2cread"], *given["pass_fds"]])
            except OSError:
                # Somebody has killed it.
                return usual(self, *arguments)
        self._child_created = True  # type: ignore[attr-defined]
        self.pid = process
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in names))  # type: ignore[attr-defined]
        return None

    return execute


def answer_for_ended(callers: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            process, status = ended
            if caller := callers.pop(process, None):
                with caller, contextlib.suppress(OSError):
                    caller.send(b"%d" % os.waitstatus_to_exitcode(status))


def load_stage(name: str) -> None:
    gc.unfreeze()
    # The folder of the tests is not that of the launcher, which programs find in none.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(1, root)
    RENEWED.append(importlib.import_module("tests.warm.stages").load(name))
    sys.path.remove(root)
    for module in [one for one in sys.modules if one.partition(".")[0] == "tests"]:
        del sys.modules[module]


def run_to_its_end(request: dict[str, Any]) -> None:
    """Run a program, and end as an interpreter does, except that what was loaded is not taken apart.

    To take all modules apart costs more than most programs do.
    """
    try:
        begin(**request)
        code: Any = 0
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if threading.active_count() == 1:
        # What the program itself made says its last words. An interpreter stops other threads before.
        sys.modules["__main__"].__dict__.clear()
        gc.collect()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:
        # The interpreter says so in its own way.
        sys.exit(code)
    os._exit(code & 0xFF)


def begin(
    kind: str, name: str, words: list[str], options: list[str], unbuffered: bool, env: dict[str, str], cwd: str,
    umask: int, session: bool,
) -> None:  # fmt: skip
    """Be a new interpreter with this command line, and run it to its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for renew in RENEWED:
        renew()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if umask >= 0:
        os.umask(umask)
    if session:
        os.setsid()
    time.tzset()
    set_streams(unbuffered=unbuffered or bool(env.get("PYTHONUNBUFFERED")))
    set_warnings([*filter(None, env.get("PYTHONWARNINGS", "").split(",")), *options])
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[0] = os.path.dirname(os.path.realpath(name)) if kind == "script" else "" if kind == "-c" else cwd
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    if kind == "-P -m":
        del sys.path[0]
    sys.argv = [{"-c": "-c"}.get(kind, name), *words]
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=__builtins__, __spec__=None)
    sys.modules["__main__"] = module
    if kind.endswith("-m"):
        runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # this is what `python -m` calls
        return
    source = name
    if kind == "script":
        module.__file__ = name
        with open(name, encoding="utf-8") as file:
            source = file.read()
    execute(compile(source, name if kind == "script" else "<string>", "exec"), module.__dict__)


def execute(code: types.CodeType, names: dict[str, Any]) -> None:
    try:
        exec(code, names)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        # The frames of the launcher are none of the program's.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)


def set_streams(*, unbuffered: bool) -> None:
    def opened(number: int, mode: str, errors: str) -> Any:
        if mode == "w" and unbuffered:
            return io.TextIOWrapper(
                os.fdopen(number, "wb", buffering=0, closefd=False), "utf-8", errors, write_through=True
            )
        return os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False)

    sys.stdin = sys.__stdin__ = opened(0, "r", "strict")
    sys.stdout = sys.__stdout__ = opened(1, "w", "strict")
    sys.stderr = sys.__stderr__ = opened(2, "w", "backslashreplace")
    if not unbuffered:
        sys.stderr.reconfigure(line_buffering=True)


def set_warnings(options: list[str]) -> None:
    """Filter warnings as the interpreter does for `-W` and PYTHONWARNINGS, below what modules filter themselves."""
    by_modules = warnings.filters[: len(warnings.filters) - len(AT_FIRST)]
    warnings.filters[:] = AT_FIRST
    sys.warnoptions[:] = options
    warnings._processoptions(options)  # type: ignore[attr-defined]
    warnings.filters[:0] = by_modules
    warnings._filters_mutated()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
