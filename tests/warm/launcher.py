"""Loads what most programs load, and forks one process for each that `warm.run` asks for.

It has one thread and reads no settings, so that what it forks is as good as a new interpreter. Each request comes with
a socket of its own and three streams; a process of its own waits for the program, so that many can run at a time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

# Modules that look at neither settings nor the registry of apps when they are loaded.
MODULES = (
    "orionflow.cli", "orionflow.client.ephemeral", "orionflow.contract", "orionflow.engine.invoke", "orionflow.flows",
    "orionflow.futures", "orionflow.results", "orionflow.tasks", "orionflow.wire.encoding",
    "django.conf", "django.contrib.auth.hashers", "django.core.handlers.wsgi", "django.core.management",
    "django.db.backends.sqlite3.base", "django.db.models", "django.forms", "django.http", "django.urls",
    "rest_framework.exceptions", "rest_framework.settings", "asyncio", "cloudpickle", "httpx", "jinja2", "sqlparse",
)  # fmt: skip


AT_FIRST = list(warnings.filters)
# Called in each program before it begins.
RENEWED: list[Callable[[], None]] = []
MOST_BYTES = 200_000


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(control)


def serve(control: socket.socket) -> None:
    """Fork what is asked for: a program, which brings four descriptors, or a stage, whose control is the only one."""
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 20, 4)
        if not message:
            return None
        if os.fork() == 0:
            control.close()
            if len(descriptors) == 1:
                load_stage(message.decode())
                return serve(socket.socket(fileno=descriptors[0]))
            return wait_for_program(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def load_stage(name: str) -> None:
    gc.unfreeze()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # The folder of the tests is not that of the launcher, which programs find in none.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(1, root)
    RENEWED.append(importlib.import_module("tests.warm.stages").load(name))
    sys.path.remove(root)
    for module in [one for one in sys.modules if one.partition(".")[0] == "tests"]:
        del sys.modules[module]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def wait_for_program(connection: int, *streams: int) -> None:
    """In a process between: fork the program and answer with its id, then with its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    caller = socket.socket(fileno=connection)
    request = json.loads(caller.recv(MOST_BYTES))
    if (process := os.fork()) == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, max(*streams, connection) + 1)
        caller.detach()
        return begin(**request)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(OSError):
        caller.send(b"%d" % process)
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(OSError):
        caller.send(b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def begin(
    kind: str, name: str, words: list[str], options: list[str], env: dict[str, str], cwd: str, umask: int, session: bool
) -> None:
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
    set_streams(unbuffered=bool(env.get("PYTHONUNBUFFERED")))
    set_warnings([*filter(None, env.get("PYTHONWARNINGS", "").split(",")), *options])
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[0] = os.path.dirname(os.path.realpath(name)) if kind == "script" else {"-c": "", "-m": cwd}[kind]
    sys.path[1:1] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = [{"-c": "-c"}.get(kind, name), *words]
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=__builtins__, __spec__=None)
    sys.modules["__main__"] = module
    if kind == "-m":
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
