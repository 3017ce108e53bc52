"""A run's process is a copy of the launcher, which has imported everything: it begins without importing more."""

from __future__ import annotations

import subprocess
import sys

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
