"""`orion server start` as its user meets it: a process, a port, a banner, a Ctrl-C."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.agents.running import eventually
from tests.site.running import RunningServer, orion, running_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_the_banner_lists_all_addresses(server: RunningServer):
    address = f"http://127.0.0.1:{server.port}"

    for text in (f"Dashboard  {address}", f"{address}/docs", "SQLite", "orion.db", f"ORION_API_URL {address}/api"):
        assert text in server.output


def test_a_started_server_is_healthy(server: RunningServer):
    status, headers, body = server.get("/api/health")

    assert status == 200
    assert headers["content-type"].startswith("application/json")
    assert json.loads(body) is True


def test_a_new_server_lists_the_usual_block_types(server: RunningServer):
    types = json.loads(_post(server, "/api/block_types/filter", {})[1])

    protected = {one["slug"]: one["is_protected"] for one in types}
    assert (protected["secret"], protected["slack-webhook"]) == (True, False)


def test_the_dashboard_and_its_files_are_served(server: RunningServer):
    page_status, page_headers, page = server.get("/runs")
    style_status, style_headers, _ = server.get("/static/css/orion.css")

    assert (page_status, style_status) == (200, 200)
    assert "<h1>Runs</h1>" in page
    assert style_headers["content-type"].startswith("text/css")
    assert "default-src 'self'" in page_headers["content-security-policy"]


def test_the_status_page_names_the_services_that_tick(server: RunningServer):
    def named() -> bool:
        _, _, page = server.get("/status")
        return "pause expiry" in page and "cancellation clean-up" in page

    # Each is first ticked a moment after the start.
    eventually(named)


def test_links_in_calendar_feeds_lead_to_this_server(server: RunningServer):
    flow = json.loads(_post(server, "/api/flows/", {"name": "planned"})[1])
    schedule = {"schedule": {"interval": 3600}}
    _post(server, "/api/deployments/", {"flow_id": flow["id"], "name": "hourly", "schedules": [schedule]})

    _, _, feed = server.get("/api/schedules.ics")

    assert f"URL:http://127.0.0.1:{server.port}/runs/" in feed


def test_another_name_in_the_host_header_is_refused(server: RunningServer):
    status, _, _ = server.get("/runs", Host="evil.example")

    assert status == 400


def test_a_run_is_created_and_moved_over_http(server: RunningServer):
    flow = json.loads(_post(server, "/api/flows/", {"name": "over-http"})[1])
    run = json.loads(_post(server, "/api/flow_runs/", {"flow_id": flow["id"], "state": {"type": "PENDING"}})[1])

    status, body = _post(server, f"/api/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}})

    assert status == 201
    assert json.loads(body)["status"] == "ACCEPT"


def test_a_body_that_is_too_long_is_refused_before_it_is_kept(server: RunningServer):
    status, _, body = server.request(
        "POST", "/api/flows/", b"x" * (11 * 1024 * 1024), {"Content-Type": "application/json"}
    )

    assert status == 413
    assert "longer than" in body


def test_a_body_without_a_type_is_read_and_a_refusal_is_explained(server: RunningServer):
    def answer(body: str) -> tuple[int, str]:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
            connection.request("POST", "/api/flows/", body)
            reply = connection.getresponse()
            reply.read()
            return reply.status, reply.reason

    assert answer('{"name": "untyped"}') == (201, "Created")
    # Twisted would send "Unknown Status" for a code that it does not know.
    assert answer("{}")[1].lower().startswith("unprocessable")


def test_a_body_in_chunks_is_read_whole(server: RunningServer):
    def chunks() -> Iterator[bytes]:
        yield b'{"name": '
        yield b'"in-chunks"}'

    status, _, body = server.request("POST", "/api/flows/", chunks(), {"Content-Type": "application/json"})  # type: ignore[arg-type]

    assert status == 201
    assert json.loads(body)["name"] == "in-chunks"


def test_a_websocket_is_refused_politely(server: RunningServer):
    status, _, _ = server.get(
        "/ws",
        Connection="Upgrade",
        Upgrade="websocket",
        **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
    )

    assert status == 403


def test_the_keys_of_the_home_are_for_its_owner_alone(tmp_path: Path):
    with running_server(tmp_path):
        key = tmp_path / "secret-key"

        assert key.stat().st_mode & 0o777 == 0o600
        assert len(key.read_text()) >= 48


def test_ctrl_c_ends_the_server_with_success(tmp_path: Path):
    with running_server(tmp_path) as running:
        code, output = running.interrupt()

    assert code == 0
    assert "Orion has stopped" in output
    assert "Traceback" not in output


def test_below_a_base_path_pages_links_and_files_have_it(tmp_path: Path):
    with running_server(tmp_path, "--base-path", "orion") as running:
        _, _, page = running.get("/orion/runs")
        file_status, _, _ = running.get("/orion/static/css/orion.css")
        api_status, _, _ = running.get("/orion/api/health")
        stripped_by_proxy, _, _ = running.get("/runs")

    assert 'href="/orion/flows"' in page
    assert re.search(r'href="/orion/static/v-[0-9a-f]{12}/css/orion.css"', page)
    assert (file_status, api_status, stripped_by_proxy) == (200, 200, 200)


def test_a_port_in_use_is_one_sentence(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        ended = orion(tmp_path, "server", "start", "--port", str(port))

    assert ended.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("0.0.0.0", "orion user create NAME --role admin"),
        ("::", "orion server start --host ::"),
        ("192.0.2.7", "Cannot listen on 192.0.2.7"),
        ("example.com", "is not an address of this machine"),
    ],
)
def test_without_a_user_it_listens_on_loopback_only(tmp_path: Path, host: str, expected: str):
    ended = orion(tmp_path, "server", "start", "--port", "0", "--host", host)

    assert ended.returncode == 1
    assert expected in ended.stderr


def test_a_missing_database_is_reported_in_one_sentence(tmp_path: Path):
    url = f"sqlite:////{tmp_path}/typo.db"

    ended = orion(tmp_path, "server", "start", "--port", "0", ORION_DATABASE_URL=url)

    assert ended.returncode == 1
    assert "There is no database at" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_setting_that_cannot_be_read_is_one_sentence(tmp_path: Path):
    ended = orion(tmp_path, "server", "start", "--port", "0", ORION_SERVER_THREADS="many")

    assert ended.returncode == 1
    assert "ORION_SERVER_THREADS='many' is not a whole number" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("module", "expected"),
    [("nowhere.settings", "cannot be imported (No module named 'nowhere')"), ("shop", "has no settings of Orion")],
)
@pytest.mark.parametrize("words", [("server", "start"), ("database", "check")])
def test_settings_of_another_project_are_one_sentence(
    tmp_path: Path, module: str, expected: str, words: tuple[str, ...]
):
    (tmp_path / "shop.py").write_text("SECRET_KEY = 'x'\n")

    done = orion(tmp_path / "home", *words, DJANGO_SETTINGS_MODULE=module, PYTHONPATH=str(tmp_path))

    assert done.returncode != 0
    assert f"DJANGO_SETTINGS_MODULE={module} {expected}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_database_is_created_checked_and_reset(tmp_path: Path):
    created = orion(tmp_path, "database", "upgrade")
    checked = orion(tmp_path, "database", "check", "-o", "json")
    unasked = orion(tmp_path, "database", "reset")
    emptied = orion(tmp_path, "database", "reset", "--yes")

    assert (created.returncode, checked.returncode, unasked.returncode, emptied.returncode) == (0, 0, 2, 0)
    assert json.loads(checked.stdout)["ok"] is True
    assert "repeat the command with --yes" in unasked.stderr


def _post(server: RunningServer, path: str, body: object) -> tuple[int, str]:
    status, _, text = server.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return status, text


def test_a_second_server_of_one_file_names_the_first(tmp_path: Path):
    home = tmp_path / "home"
    with running_server(home) as killed:
        killed.process.kill()
        killed.process.wait()
        with running_server(home) as first, running_server(home) as second:
            found = " ".join(second.output.split())
            first.interrupt()

    assert "Another server" not in first.output
    assert f"Another server serves {home / 'orion.db'} as well: process {first.process.pid}" in found
    assert f"127.0.0.1:{first.port}" in found
    assert str(killed.process.pid) not in found
