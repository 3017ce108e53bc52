"""ORION_LOG_FORMAT=json: every line of a server, its agent and programs is one JSON object, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from orion_site.http.request_ids import RequestIdMiddleware
from orionflow import json_lines
from orionflow.contract.masking import known
from tests.homes import ready_home
from tests.site.running import COMMAND, environment


def formatted(message: str, *args: Any, **fields: Any) -> dict[str, Any]:
    error = fields.pop("exc_info", None)
    record = logging.LogRecord("orion.odd", logging.ERROR, __file__, 1, message, args, error)
    record.__dict__.update(fields)
    line = json_lines.JsonFormatter().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_has_what_machines_look_for():
    line = formatted("run %s\nis over", 7, flow_run_id="abc", trace_id="def")

    assert line["message"] == "run 7\nis over"
    assert (line["level"], line["logger"], line["flow_run_id"], line["trace_id"]) == (
        "ERROR",
        "orion.odd",
        "abc",
        "def",
    )
    assert line["time"].endswith("Z")


def test_an_error_is_in_its_line():
    try:
        raise ValueError("odd")
    except ValueError:
        line = formatted("It failed.", exc_info=sys.exc_info())

    assert line["error"] == "ValueError"
    assert line["traceback"].endswith("ValueError: odd")


def test_secrets_are_masked_everywhere():
    known.learn(["hunter22-secret"])

    line = formatted("password %s", "hunter22-secret", flow_run_name="hunter22-secret")

    assert "hunter22" not in json.dumps(line)


@pytest.mark.parametrize("message", ["100 % sure %d", "%s %s", "\ud800 lone", "\u2028 \x00 \x1b[31m"])
def test_a_line_that_does_not_fit_is_a_line(message: str):
    assert formatted(message, "one")["logger"] == "orion.odd"


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2", True), ("a b", False), ("x" * 65, False), ("é", False)])
def test_a_request_has_an_id_that_lines_carry(given: str, kept: bool):
    seen = []

    def answer(request: Any) -> Any:
        seen.append(formatted("within")["request_id"])
        return HttpResponse("ok")

    response = RequestIdMiddleware(answer)(RequestFactory().get("/", headers={"X-Request-ID": given}))

    assert response.headers["X-Request-ID"] == seen[0]
    assert (seen[0] == given) == kept
    assert "request_id" not in formatted("after")


@pytest.mark.long
def test_every_line_of_a_server_and_its_agent_is_one_object(tmp_path: Path):
    ready_home(tmp_path)
    given = environment(tmp_path, ORION_LOG_FORMAT="json", ORION_SERVER_LOG_LEVEL="INFO")
    server = subprocess.Popen(
        [*COMMAND, "server", "start", "--port", "0"], env=given, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: [lines.append(one) for one in server.stderr])
    reader.start()
    until = time.monotonic() + 60
    while not any('"agent"' in line for line in lines) and time.monotonic() < until:
        time.sleep(0.2)
    server.terminate()
    reader.join(60)
    server.wait(60)
    server.stderr.close()

    found = [json.loads(line) for line in lines]
    assert any("Dashboard" in one["message"] for one in found)
    assert any(one.get("agent") for one in found)
    assert all({"time", "level", "logger", "message"} <= one.keys() for one in found)


@pytest.mark.long
def test_an_uncaught_error_is_one_object(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        "import threading\n"
        "from orionflow import flow, get_run_logger\n"
        "@flow\n"
        "def etl():\n"
        "    get_run_logger().info('working')\n"
        "etl()\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(); thread.join()\n"
        "raise ValueError('odd')\n"
    )
    given = environment(tmp_path, ORION_LOG_FORMAT="json")

    done = subprocess.run([sys.executable, str(program)], env=given, capture_output=True, text=True, timeout=60)

    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert [one["error"] for one in found if "error" in one] == ["ZeroDivisionError", "ValueError"]
    assert any(one["message"] == "working" and one["flow_run_id"] for one in found)
