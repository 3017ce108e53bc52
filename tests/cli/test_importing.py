"""`orion import prefect`: from another server of the same API, and from the one that it was made for."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from tests import warm
from tests.cli.conftest import Companion, companion
from tests.compat.client import BIN, needs_client
from tests.ports import lasting_port
from tests.site.running import running_server

KINDS = [
    *("variable", "tag limit", "global limit", "block type", "block schema", "block"),
    *("work pool", "work queue", "flow", "deployment"),
]


def send(api: str, path: str, body: Any, method: str = "POST") -> Any:
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(api + path, json.dumps(body).encode(), headers, method=method), timeout=30) as answer:
        content = answer.read()
    return json.loads(content) if content else None


@contextmanager
def serving_orion(home: Path) -> Iterator[str]:
    with running_server(home) as server:
        yield f"http://127.0.0.1:{server.port}/api"


@contextmanager
def serving_prefect(home: Path) -> Iterator[str]:
    """A server of Prefect 2 on a free port, with a home of its own."""
    port = lasting_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = kept | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    api = f"http://127.0.0.1:{port}/api"
    with (home / "server.log").open("w") as log:
        command = [str(BIN / "prefect"), "server", "start", "--port", str(port)]
        server = warm.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(api)
        yield api
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait(api: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urlopen(f"{api}/health", timeout=2):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError("The server of Prefect did not come up.")


@pytest.fixture(
    scope="module",
    params=[
        "orion",
        pytest.param(
            "prefect",
            marks=[pytest.mark.slow, pytest.mark.long, needs_client],
        ),
    ],
)
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API of a server that is in use."""
    home = tmp_path_factory.mktemp("old")
    with serving_orion(home) if request.param == "orion" else serving_prefect(home) as api:
        fill(api)
        yield api


def fill(api: str) -> None:
    send(api, "/variables/", {"name": "colour", "value": "red", "tags": ["a"]})
    send(api, "/concurrency_limits/", {"tag": "gpu", "concurrency_limit": 2})
    send(api, "/v2/concurrency_limits/", {"name": "warehouse", "limit": 3, "slot_decay_per_second": 0.5})
    variables = {"type": "object", "properties": {"command": {"type": "string"}}}
    template = {"job_configuration": {"command": "{{ command }}"}, "variables": variables}
    pool = {"name": "cluster", "type": "process", "concurrency_limit": 4, "base_job_template": template}
    send(api, "/work_pools/", pool)
    send(api, "/work_pools/cluster/queues", {"name": "urgent", "priority": 1, "concurrency_limit": 2})
    inner, outer = fill_blocks(api)
    flow = send(api, "/flows/", {"name": "census", "tags": ["b"]})["id"]
    asked = {
        "flow_id": flow,
        "name": "nightly",
        "work_pool_name": "cluster",
        "work_queue_name": "urgent",
        "parameters": {"n": 1},
        "tags": ["c"],
        "entrypoint": "census.py:census",
        "storage_document_id": outer,
        "schedules": [
            {"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Paris"}, "active": True},
            {"schedule": {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z", "timezone": "UTC"}, "active": False},
            {"schedule": {"rrule": "FREQ=MONTHLY;BYMONTHDAY=1", "timezone": "UTC"}, "active": True},
        ],
    }
    send(api, "/deployments/", asked)


def fill_blocks(api: str) -> tuple[str, str]:
    """A block with a secret, and one that holds it."""
    kind = send(api, "/block_types/", {"name": "Login", "slug": "login"})["id"]
    password = {"type": "string", "format": "password", "writeOnly": True}
    fields = {
        "title": "Login",
        "type": "object",
        "properties": {"user": {"type": "string"}, "password": password},
        "secret_fields": ["password"],
        "block_type_slug": "login",
        "block_schema_references": {},
    }
    schema = send(api, "/block_schemas/", {"block_type_id": kind, "fields": fields, "capabilities": ["sign-in"]})["id"]
    filled = {"block_type_id": kind, "block_schema_id": schema}
    inner = send(api, "/block_documents/", {**filled, "name": "mine", "data": {"user": "ada", "password": "s3cret"}})
    vault = send(api, "/block_types/", {"name": "Vault", "slug": "vault"})["id"]
    reference = {"block_schema_checksum": _checksum(api, schema), "block_type_slug": "login"}
    holds = {
        "title": "Vault",
        "type": "object",
        "properties": {"login": {"$ref": "#/definitions/Login"}},
        "definitions": {"Login": fields},
        "block_type_slug": "vault",
        "block_schema_references": {"login": reference},
    }
    of_vault = send(api, "/block_schemas/", {"block_type_id": vault, "fields": holds})["id"]
    data = {"login": {"$ref": {"block_document_id": inner["id"]}}}
    held = {"name": "outer", "block_type_id": vault, "block_schema_id": of_vault, "data": data}
    return inner["id"], send(api, "/block_documents/", held)["id"]


def _checksum(api: str, schema_id: str) -> str:
    schemas = send(api, "/block_schemas/filter", {})
    return next(one["checksum"] for one in schemas if one["id"] == schema_id)


@pytest.fixture
def orion(tmp_path: Path) -> Iterator[Companion]:
    with companion(tmp_path / "new") as session:
        yield session


def imported(orion: Companion, old: str, *words: str) -> list[dict[str, Any]]:
    answer = orion("import", "prefect", "--url", old, "-o", "json", *words)
    assert answer.code == 0, answer.err
    plan: list[dict[str, Any]] = json.loads(answer.out)
    return plan


def asked(orion: Companion, path: str, body: Any = None) -> Any:
    answer = orion("api", "POST", path, "-d", json.dumps(body or {}))
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_a_plan_is_shown_and_nothing_done(orion: Companion, old: str) -> None:
    plan = imported(orion, old, "--dry-run")

    assert [kind for kind in KINDS if any(step["kind"] == kind for step in plan)] == KINDS
    assert {step["plan"] for step in plan if step["name"].endswith(("colour", "census", "/nightly"))} == {"new"}
    assert asked(orion, "/variables/filter") == []


def test_everything_is_copied_once(orion: Companion, old: str) -> None:
    imported(orion, old, "--yes", "--paused")

    again = imported(orion, old, "--yes", "--paused")

    assert {step["plan"] for step in again} == {"same"}, [step for step in again if step["plan"] != "same"]
    (deployment,) = asked(orion, "/deployments/filter")
    (outer,) = asked(orion, "/block_documents/filter", {"block_documents": {"name": {"any_": ["outer"]}}})
    schedules = {json.dumps(one["schedule"], sort_keys=True): one["active"] for one in deployment["schedules"]}
    assert (deployment["work_pool_name"], deployment["work_queue_name"], deployment["paused"]) == (
        *("cluster", "urgent"),
        True,
    )
    assert (deployment["storage_document_id"], deployment["parameters"]) == (outer["id"], {"n": 1})
    assert sorted(schedules.values()) == [False, True, True]


def test_cron_lines_mean_here_what_they_mean_there(orion: Companion, old: str, request: pytest.FixtureRequest) -> None:
    is_prefect = request.node.callspec.params["old"] == "prefect"
    flow = send(old, "/flows/", {"name": "census"})["id"]
    lines = ["0 9 * * 1-5 0", "0 3 */2 * MON", "0 6 * * *"]
    schedules = [{"schedule": {"cron": line, "timezone": "UTC"}, "active": True} for line in lines]
    odd = {"flow_id": flow, "name": "odd", "schedules": schedules}
    made = send(old, "/deployments/", odd)["id"]

    try:
        answer = orion("import", "prefect", "--url", old, "--yes", "--only", "deployments")
        again = imported(orion, old, "--yes", "--only", "deployments")
    finally:
        send(old, f"/deployments/{made}", None, "DELETE")

    (copied,) = asked(orion, "/deployments/filter", {"deployments": {"name": {"any_": ["odd"]}}})
    turned = ["0 0 9 * * 1-5", "0 3 1-31/2 * MON", "0 6 * * *"]
    assert sorted(one["schedule"]["cron"] for one in copied["schedules"]) == sorted(turned if is_prefect else lines)
    assert ("'0 0 9 * * 1-5'" in answer.err) == is_prefect
    assert {step["plan"] for step in again} == {"same"}


def test_secrets_come_along_and_blocks_that_hold_others_hold_them_here(orion: Companion, old: str) -> None:
    imported(orion, old, "--only", "blocks", "--yes")

    wanted = {"block_documents": {"name": {"any_": ["outer"]}}, "include_secrets": True}
    (outer,) = asked(orion, "/block_documents/filter", wanted)

    assert outer["data"]["login"] == {"user": "ada", "password": "s3cret"}
    assert asked(orion, "/variables/filter") == []


def test_changes_on_the_other_server_are_copied_and_nothing_is_deleted(orion: Companion, old: str) -> None:
    imported(orion, old, "--yes", "--only", "variables")
    asked(orion, "/variables/", {"name": "mine", "value": "1"})
    send(old, "/variables/name/colour", {"value": "blue"}, "PATCH")

    try:
        plan = imported(orion, old, "--yes", "--only", "variables")
    finally:
        send(old, "/variables/name/colour", {"value": "red"}, "PATCH")

    assert [(step["name"], step["plan"], step["changes"][0]["field"]) for step in plan] == [
        ("colour", "changed", "value")
    ]
    assert {one["name"]: one["value"] for one in asked(orion, "/variables/filter")} == {"colour": "blue", "mine": "1"}


def test_nothing_is_copied_unasked(orion: Companion, old: str) -> None:
    answer = orion("import", "prefect", "--url", old)

    assert answer.code == 2
    assert "new variable colour" in answer.out
    assert "--yes" in answer.err
    assert asked(orion, "/variables/filter") == []


def test_an_unreachable_server_is_named(orion: Companion) -> None:
    answer = orion("import", "prefect", "--url", f"http://127.0.0.1:{lasting_port()}/api")

    assert answer.code == 3
    assert "correct --url" in answer.err
    assert "ORION_API_URL" not in answer.err


class Odd(BaseHTTPRequestHandler):
    """A server that gives its version as Prefect 2 does, and answers every other request with `said`."""

    body_of_answer = b""

    def do_GET(self) -> None:
        self.reply(b'"0.8.4"')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(self.body_of_answer)

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("expected", [b"<html>", b'{"x": 1}', b'[{"name": null}, 5]', b""])
def test_an_odd_answer_of_a_server_is_reported_in_one_sentence(orion: Companion, expected: bytes) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Said", (Odd,), {"body_of_answer": expected})) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        answer = orion(
            "import", "prefect", "--url", f"http://127.0.0.1:{server.server_port}/api", "--only", "variables"
        )
        server.shutdown()

    assert answer.code == 10
    assert "cannot be read" in answer.err


class Listed(Odd):
    """Lists objects as a server of Prefect 2 does, by the start of the path."""

    lists: Mapping[str, list[dict[str, Any]]] = {}

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = next((ones for path, ones in self.lists.items() if self.path.endswith(path)), [])
        self.reply(json.dumps(found[asked.get("offset", 0) :]).encode())


def test_objects_with_unreadable_names_are_left_out_with_a_note(orion: Companion) -> None:
    bad, spaced, good, pool = "pay\u200broll", "etl ", "census", "po\u202eol"
    flows = [{"id": str(uuid4()), "name": name, "tags": []} for name in (bad, spaced, good)]
    deployed = [
        {"id": str(uuid4()), "flow_id": one["id"], "name": name, "schedules": [], **waits}
        for one, name, waits in (
            (flows[0], "nightly", {}),
            (flows[1], "nightly", {}),
            (flows[2], "nightly", {}),
            (flows[2], "week\u200bly", {}),
            (flows[2], "monthly", {"work_pool_name": pool, "work_queue_name": "default"}),
            (flows[2], "yearly", {"work_pool_name": None, "work_queue_name": "slow\u200b"}),
        )
    ]
    lists = {
        "/flows/filter": flows,
        "/deployments/filter": deployed,
        "/work_pools/filter": [{"id": str(uuid4()), "name": pool, "type": "process"}],
        "/queues/filter": [{"id": str(uuid4()), "name": "default", "priority": 1}],
        "/v2/concurrency_limits/filter": [{"id": str(uuid4()), "name": bad, "limit": 1}],
        "/concurrency_limits/filter": [
            {"id": str(uuid4()), "tag": tag, "concurrency_limit": 1} for tag in (bad, "\x9b")
        ],
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Old", (Listed,), {"lists": lists})) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"

        answer = orion("import", "prefect", "--url", url, "--only", "limits,deployments", "--yes", "-o", "json")
        again = imported(orion, url, "--only", "limits,deployments", "--yes")
        server.shutdown()

    assert answer.code == 0, answer.err
    left_out = [line for line in answer.err.splitlines() if "left out" in line]
    assert len(left_out) == 9
    assert all("U+" in line for line in left_out)
    assert any("pay\\u200broll" in line and "flow" in line for line in left_out)
    assert {step["plan"] for step in again} == {"same"}
    assert {one["name"] for one in asked(orion, "/flows/filter")} == {spaced, good}
    assert [one["name"] for one in asked(orion, "/deployments/filter")] == ["nightly", "nightly"]
    assert [one["tag"] for one in asked(orion, "/concurrency_limits/filter")] == [bad]
