"""The API in other languages: the examples in shell and Node.js run their job against a real server."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests import warm
from tests.compat.serve_and_run import serving

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(str(tmp_path_factory.mktemp("home")), None) as address:
        yield address


def ask(api: str, path: str, body: dict[str, Any]) -> Any:
    request = Request(api + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.programs
@pytest.mark.parametrize(("program", "script"), [("sh", "orchestrate.sh"), ("node", "orchestrate.mjs")])
def test_a_job_is_orchestrated_without_any_package(api: str, program: str, script: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")

    played = warm.run([program, str(CLIENTS / script), api], capture_output=True, text=True, timeout=60, check=False)

    assert played.returncode == 0, played.stdout + played.stderr
    assert all(verdict in played.stdout for verdict in ("REJECT", "WAIT", "ABORT", "Ended COMPLETED"))
    run_id = next(line for line in played.stdout.splitlines() if line.startswith("Flow run ")).split()[-1]
    mine = {"flow_runs": {"id": {"any_": [run_id]}}}
    tasks = ask(api, "/task_runs/filter", mine)
    assert {task["name"]: task["run_count"] for task in tasks} == {"weigh-1": 1, "weigh-2": 2, "weigh-3": 1}
    assert Counter(task["state_type"] for task in tasks) == {"COMPLETED": 3}
    assert ask(api, "/flow_runs/filter", mine)[0]["state_type"] == "COMPLETED"


def test_a_job_reports_that_it_cannot_reach_its_server(tmp_path: Path) -> None:
    script = str(CLIENTS / "orchestrate.sh")

    played = warm.run(["sh", script, "http://127.0.0.1:9/api"], capture_output=True, text=True, timeout=60, check=False)

    assert played.returncode != 0
    assert "curl" in played.stderr
