"""A run's process is a copy of the launcher, which has imported everything: it begins without importing more."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from orionflow.agent.child import load_everything
load_everything()
known = set(sys.modules)
from orionflow.reporting import get_reporter
import orionflow.calls.flow_runs, orionflow.engine.invoke
get_reporter()
print(sorted(set(sys.modules) - known))
"""


def test_a_run_begins_without_importing_anything(tmp_path):
    env = {"ORION_HOME": str(tmp_path), "ORION_API_URL": "http://127.0.0.1:9/api"}

    shown = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"


REHEARSED = """
import gc, os, signal, sys, threading
from pathlib import Path
from orionflow.agent.child import load_everything
load_everything()
import orionflow.settings, orionflow.reporting.current, orionflow.logging, orionflow.tracing, logging
from orionflow.agent.rehearsal import rehearse

def traces():
    return {
        "modules": set(sys.modules),
        "path": list(sys.path),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None,
        "files": sorted(path.name for path in Path(os.environ["ORION_HOME"]).rglob("*")),
        "settings": orionflow.settings._resolved,
        "reporters": dict(orionflow.reporting.current._reporters),
        "logging": [orionflow.logging._set_up_for, list(logging.getLogger("orionflow").handlers)],
        "tracing": orionflow.tracing.current,
    }

before = traces()
rehearse()
gc.collect()
after = traces()
print({name: (before[name], after[name]) for name in before if before[name] != after[name]})
"""


@pytest.mark.parametrize(
    "settings", ["", "api_url = [", "[reporting]\nbatch_sise = 5\n"], ids=["none", "broken", "odd"]
)
def test_a_rehearsal_leaves_nothing_but_memory(tmp_path, settings: str):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "orion.toml").write_text(settings)
    env = {"ORION_HOME": str(home), "ORION_TRACES_URL": "http://127.0.0.1:9/v1/traces"}

    shown = subprocess.run(
        [sys.executable, "-c", REHEARSED], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert (shown.stdout.strip(), shown.stderr) == ("{}", "")


ANSWERED = """
import sys
import orionflow.flows
from orionflow.agent import rehearsal
calls = []
create_model = orionflow.flows.parameter_model
orionflow.flows.parameter_model = lambda *args: (calls.append("parameters"), create_model(*args))[1]
proposed = rehearsal._propose_running
rehearsal._propose_running = lambda url: (proposed(url), calls.append("state"))
rehearsal.rehearse()
print(*calls)
"""


def test_a_rehearsal_runs_to_its_end(tmp_path):
    shown = subprocess.run(
        [sys.executable, "-c", ANSWERED], env={"ORION_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    assert (shown.stdout.strip(), shown.stderr) == ("parameters state", "")
