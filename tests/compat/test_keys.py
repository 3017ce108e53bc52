"""The other client proves by PREFECT_API_KEY for whom it asks: over HTTP, and in the first message of its sockets."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compat.client import PYTHON, needs_client
from tests.site.running import environment, orion, running_server

PROGRAM = Path(__file__).with_name("keys_program.py")
pytestmark = [pytest.mark.slow, needs_client]


def test_the_key_of_the_other_client_goes_as_far_as_its_role(tmp_path: Path):
    home = tmp_path / "home"
    with running_server(home) as server:
        keys = {role: key_with(home, role) for role in ("agent", "viewer")} | {"nobody": "orn_wrong"}
        found = {role: asked(server.port, tmp_path, key) for role, key in keys.items()}

    assert found["agent"] == {"read": "done", "run": "done", "listen": "done"}
    assert found["viewer"]["read"] == "done"
    assert "403" in found["viewer"]["run"]
    assert "not allowed" in found["viewer"]["listen"]
    assert "not known here" in found["nobody"]["read"]
    assert found["nobody"]["run"] != "done"
    assert "not known here" in found["nobody"]["listen"]


def key_with(home: Path, role: str) -> str:
    done = orion(home, "key", "create", f"a-{role}", "--role", role, "-o", "json")
    return str(json.loads(done.stdout)["key"])


def asked(port: int, home: Path, key: str) -> Any:
    more = {"PREFECT_HOME": str(home / "other"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", str(PROGRAM)],
        env=environment(home, **more, PREFECT_API_KEY=key, PREFECT_LOGGING_LEVEL="CRITICAL"),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])
