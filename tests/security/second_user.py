"""Programs that another Unix user of this machine runs: `setpriv` starts them, which only root may."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.site.running import COMMAND

NOBODY = 65534
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root, with setpriv, can start a client as another Unix user",
)
# Isolated, and with the plain interpreter: the packages of this one may be closed to others.
AS_ANOTHER = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
PYTHON = [os.path.realpath(sys.executable), "-I", "-S"]

# May read everything, such as this interpreter and the packages; may write what another user may.
READING = ["--inh-caps=+dac_read_search,+setuid", "--ambient-caps=+dac_read_search,+setuid"]

ASK = """
import json, sys, http.client
host, port, requests = json.load(sys.stdin)
connection, answers = http.client.HTTPConnection(host, port, timeout=60), []
for method, path, headers in requests:
    connection.request(method, path, headers={"Host": f"127.0.0.1:{port}", **headers})
    answer = connection.getresponse()
    answers.append([answer.status, answer.getheader("Location") or "", answer.read().decode(errors="replace")[:2000]])
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    text: str


def orion_as(user: int, *words: str, group: int | None = None) -> list[str]:
    """Return the command that runs `orion` as another user, with one group."""
    return [*as_user(user, group=group), *COMMAND, *words]


def as_user(user: int, *, group: int | None = None) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups", *READING]


def run_as_another(program: str, given: Any, *, same_user: bool = False) -> Any:
    """Run a program of plain Python, which reads JSON and writes JSON."""
    command = [*([] if same_user else AS_ANOTHER), *PYTHON, "-c", program]
    done = subprocess.run(
        command, input=json.dumps(given), cwd="/", env={}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(
    port: int, requests: list[tuple[str, str, dict[str, str]]], *, host: str = "127.0.0.1", same_user: bool = False
) -> list[Answer]:
    """Send requests on one connection."""
    return [Answer(*one) for one in run_as_another(ASK, [host, port, requests], same_user=same_user)]
