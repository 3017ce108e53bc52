"""A real `orion server start` in a process and a home of its own."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import warm
from tests.homes import ready_home
from tests.printed import read_until

# The machine may be busy with other tests.
PATIENCE_SECONDS = 60
COMMAND = [str(Path(sys.executable).with_name("orion"))]


@dataclass
class RunningServer:
    """The process, its port, and its output so far."""

    process: subprocess.Popen[str]
    port: int
    output: str

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        return self.request("GET", path, headers=headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C. Return the exit code, and everything that was printed from then on."""
        self.process.send_signal(signal.SIGINT)
        _, output = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, output


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    return {**kept, "ORION_HOME": str(home), **more}


def orion(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [*COMMAND, *words],
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL,
    )


@contextmanager
def running_server(
    home: Path, *options: str, agent: bool = False, ready: bool = True, **more: str
) -> Iterator[RunningServer]:
    """Start on a free port, wait for the banner, and stop at the end.

    Its own agent only where a test is about runs; a database is `ready` unless the test is about the first start.
    """
    if ready and "ORION_DATABASE_URL" not in more:
        ready_home(home)
    words = [*COMMAND, "server", "start", "--port", "0", *([] if agent else ["--no-agent"]), *options]
    with serving(words, env=environment(home, **more)) as server:
        yield server


@contextmanager
def serving(words: list[str], **options: Any) -> Iterator[RunningServer]:
    """Start a server by a command, wait for the banner, and stop at the end."""
    process = warm.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, **options)
    try:
        yield after_banner(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def after_banner(process: subprocess.Popen[str]) -> RunningServer:
    output = read_until(process.stderr, "Ctrl-C stops")
    found = re.search(r"http://[^/\s]+:(\d+)", output)
    assert found, output
    return RunningServer(process, int(found[1]), output)
