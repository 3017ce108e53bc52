"""The token of a server's start, which the owner's programs send to that server only; links and cookies."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.test import Client

from orion_site.accounts import local_token
from orion_site.accounts.users import create_user
from orion_site.http.peers import OWN_USER
from orion_site.http.token_file import token_kept
from orionflow.settings.local_token import LOCAL_TOKEN_BEGINS, LocalToken, servers_of, token_file
from tests import warm
from tests.homes import ready_home
from tests.printed import read_until
from tests.security.second_user import as_root, ask
from tests.security.test_walk import ADDRESSES, OPEN_TO_ALL
from tests.site.running import COMMAND, RunningServer, environment, orion, running_server

# The port of Django's client.
COOKIE = "orion_owner_80"
PROGRAM = "from orionflow import flow, task\n@task\ndef one(): return 1\n@flow\ndef known(): return one()\nknown()\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("token") / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[RunningServer]:
    """A server that does not recognise its owner by the Unix user."""
    with running_server(home, "--no-services", ORION_LOCAL_OWNER="token") as server:
        yield server


def api_of(server: RunningServer, host: str = "127.0.0.1") -> dict[str, str]:
    return {"ORION_API_URL": f"http://{host}:{server.port}/api"}


def token_of(home: Path, server: RunningServer) -> str:
    return token_file(home, "127.0.0.1", server.port).read_text()


# --- programs ---


def test_a_request_without_a_token_is_not_the_owner(server: RunningServer):
    assert server.get("/api/me")[0] == 401
    assert server.get("/runs")[0] == 401
    assert "orion open" in server.get("/runs")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_commands_and_programs_of_the_home_need_nothing(home: Path, server: RunningServer, host: str):
    found = orion(home, "auth", "whoami", "-o", "json", **api_of(server, host))
    ran = warm.run(
        [sys.executable, "-c", PROGRAM],
        env=environment(home, **api_of(server, host)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert '"by": "token"' in found.stdout, found.stderr
    assert ran.returncode == 0, ran.stderr


def test_the_own_agent_and_doctor_need_nothing(tmp_path: Path):
    with running_server(tmp_path / "home", agent=True, ORION_LOCAL_OWNER="token") as server:
        checked = orion(tmp_path / "home", "doctor", **api_of(server))

    assert "not allowed" not in (checked.stdout + checked.stderr).lower()
    assert " 401" not in checked.stdout + checked.stderr


def test_another_home_has_no_token(tmp_path: Path, server: RunningServer):
    refused = orion(tmp_path, "auth", "whoami", **api_of(server))

    assert refused.returncode != 0
    assert "Unix user who runs this server" in refused.stderr


@pytest.mark.parametrize("token", ["orl_", "orl_" + "A" * 43])
def test_a_wrong_token_is_refused_with_a_sentence(server: RunningServer, token: str):
    status, headers, body = server.get("/api/me", Authorization=f"Bearer {token}")

    assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="orion"')
    assert "ORION_HOME" in body


def test_a_token_that_came_through_a_proxy_is_refused(home: Path, server: RunningServer):
    proof = {"Authorization": f"Bearer {token_of(home, server)}"}

    assert server.get("/api/me", **proof)[0] == 200
    assert server.get("/api/me", **proof, **{"X-Forwarded-For": "127.0.0.1"})[0] == 401


@as_root
def test_another_unix_user_gets_nowhere(home: Path, server: RunningServer):
    answers = ask(server.port, [("GET", path, {}) for path in ADDRESSES])

    let_in = {path for path, answer in zip(ADDRESSES, answers, strict=True) if answer.status not in {401, 403}}
    assert {path for path in let_in if "/admin/login" not in path} <= OPEN_TO_ALL


def test_the_token_is_readable_by_its_owner_alone_and_goes_with_the_server(tmp_path: Path):
    home = tmp_path / "home"
    with running_server(home, "--no-services") as server:
        file = token_file(home, "127.0.0.1", server.port)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent, home)]
        assert list(servers_of(home)) == [f"http://127.0.0.1:{server.port}"]
        code, _ = server.interrupt()

    assert (modes, code, file.exists()) == ([0o600, 0o700, 0o700], 0, False)
    assert list(servers_of(home)) == []


def test_each_start_has_a_token_of_its_own(tmp_path: Path):
    found = []
    for _ in range(2):
        with running_server(tmp_path / "home", "--no-services") as server:
            found.append(token_of(tmp_path / "home", server))

    assert found[0] != found[1]


def test_a_program_that_continues_finds_the_token_of_the_next_start(tmp_path: Path):
    with token_kept(tmp_path, "127.0.0.1", 4200):
        token = LocalToken(tmp_path, "http://127.0.0.1:4200/api")
        before = token.prove("http://127.0.0.1:4200/api/me")[1]
        local_token._token, kept = "orl_another", local_token._token
        with token_kept(tmp_path, "127.0.0.1", 4200):
            after = token.prove("http://127.0.0.1:4200/api/me")[1]
        local_token._token = kept

    assert before["Authorization"] != after["Authorization"] == "Bearer orl_another"
    assert token.prove("http://127.0.0.1:4200/api/me")[1] == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4201/api",
        "http://127.0.0.2:4200/api",
        "http://[::1]:4200/api",
        "https://127.0.0.1:4200/api",
        "http://192.0.2.7:4200/api",
        "http://orion.example:4200/api",
        "http://127.0.0.1.evil.example:4200/api",
        "http://localhost.evil.example:4200/api",
    ],
)
def test_no_other_address_is_sent_the_token(tmp_path: Path, url: str):
    with token_kept(tmp_path, "127.0.0.1", 4200):
        assert LocalToken(tmp_path, url).prove(f"{url}/me") == (f"{url}/me", {})


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_localhost_becomes_the_address_of_the_server(tmp_path: Path, host: str, shown: str):
    with token_kept(tmp_path, host, 4200):
        address, proof = LocalToken(tmp_path, "http://localhost:4200/api").prove("http://localhost:4200/api/me?a=b")

    assert (address, list(proof)) == (f"http://{shown}:4200/api/me?a=b", ["Authorization"])


@as_root
def test_a_file_that_another_user_has_put_there_is_not_read(tmp_path: Path):
    with token_kept(tmp_path, "127.0.0.1", 4200):
        os.chown(token_file(tmp_path, "127.0.0.1", 4200), 65534, 65534)

        assert LocalToken(tmp_path, "http://127.0.0.1:4200/api").prove("x") == ("x", {})


def test_a_program_on_the_port_of_a_stopped_server_gets_nothing_that_opens_the_next_one(tmp_path: Path):
    """A killed server leaves its token. A program on its port learns it, but the next server has another one."""
    seen: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_error(404)

        def log_message(self, format: str, *given: Any) -> None:
            pass

    home = tmp_path / "home"
    with running_server(home, "--no-services") as first:
        port = first.port
        first.process.kill()
        first.process.wait()
    with ExitStack() as stack:
        listener = stack.enter_context(HTTPServer(("127.0.0.1", port), Listener))
        Thread(target=listener.serve_forever, daemon=True).start()
        orion(home, "auth", "whoami", ORION_API_URL=f"http://127.0.0.1:{port}/api")
        listener.shutdown()
    with running_server(home, "--no-services") as second:
        status = second.get("/api/me", Authorization=seen[0])[0]

    assert seen[0].startswith("Bearer orl_")
    assert status == 401


def test_server_and_sdk_agree_on_how_a_token_begins():
    assert local_token.LOCAL_TOKEN_BEGINS == LOCAL_TOKEN_BEGINS


# --- browsers ---


def opened(home: Path, server: RunningServer) -> str:
    return (
        orion(home, "open", "--no-browser", **api_of(server))
        .stdout.strip()
        .removeprefix(f"http://127.0.0.1:{server.port}")
    )


def test_a_link_lets_one_browser_in_once(home: Path, server: RunningServer):
    link = opened(home, server)

    looked = server.request("HEAD", link)[0]
    status, headers, _ = server.get(link)
    again = server.get(link)

    assert (looked, status, headers["location"]) == (401, 302, "/")
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    (cookie,) = SimpleCookie(headers["set-cookie"]).values()
    assert cookie.key == f"orion_owner_{server.port}"
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    assert again[0] == 401
    assert "orion open" in again[2]
    shown = server.get("/runs", Cookie=f"{cookie.key}={cookie.value}")
    admin = server.get("/admin/", Cookie=f"{cookie.key}={cookie.value}")
    assert (shown[0], admin[0]) == (200, 200)


def test_open_finds_the_server_of_the_home_without_a_setting(home: Path, server: RunningServer):
    link = orion(home, "open", "--no-browser").stdout.strip()

    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/enter/[\w-]{{43}}", link)


def test_open_without_a_server_explains_how_to_start_one(tmp_path: Path):
    done = orion(tmp_path, "open", "--no-browser")

    assert done.returncode != 0
    assert "orion server start" in done.stderr


@pytest.mark.parametrize("path", ["/enter/x", "/enter/" + "A" * 43])
def test_other_links_let_no_browser_in(server: RunningServer, path: str):
    status, headers, _ = server.get(path)

    assert status == 401
    assert "set-cookie" not in headers


def test_no_link_and_no_code_are_logged(home: Path, tmp_path: Path):
    with running_server(tmp_path / "home", "--no-services", ORION_LOCAL_OWNER="token") as server:
        link = opened(tmp_path / "home", server)
        server.get(link)
        server.get(link)
        _, output = server.interrupt()

    assert "/enter/" not in server.output + output


def test_a_terminal_is_shown_the_link_at_the_start(tmp_path: Path):
    command = f"{COMMAND[0]} server start --port 0 --no-agent --no-services"
    env = environment(ready_home(tmp_path / "home"), ORION_LOCAL_OWNER="token", TERM="dumb")
    with subprocess.Popen(
        ["script", "-qec", command, "/dev/null"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as terminal:
        try:
            output = read_until(terminal.stdout, "Ctrl-C stops")
        finally:
            terminal.terminate()

    assert re.search(r"Dashboard  http://127\.0\.0\.1:\d+/enter/[\w-]{43}", output), output


@pytest.fixture
def strangers_browser(db: None, settings: Any) -> Client:
    settings.ORION_LOCAL_OWNER = "token"
    return Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1:4200"})


def let_in(browser: Client) -> None:
    assert browser.get(f"/enter/{local_token.new_code()}").status_code == 302


def test_the_page_of_a_link_that_is_over_has_the_form_to_sign_in_if_there_are_users(strangers_browser: Client):
    create_user(name="ada", password="correct horse battery", roles=["viewer"])

    page = strangers_browser.get(f"/enter/{'A' * 43}")

    assert page.status_code == 401
    assert 'name="username"' in page.content.decode()


def test_a_link_is_over_after_a_minute(strangers_browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_token, "LINK_SECONDS", -1.0)

    assert strangers_browser.get(f"/enter/{local_token.new_code()}").status_code == 401


def test_the_number_of_unused_links_is_limited():
    codes = [local_token.new_code() for _ in range(local_token.MOST_LINKS + 1)]

    assert not local_token.use_code(codes[0])
    assert local_token.use_code(codes[-1])


def test_a_cookie_is_for_one_port_of_this_machine(strangers_browser: Client):
    let_in(strangers_browser)

    there = strangers_browser.cookies[COOKIE].value
    strangers_browser.cookies["orion_owner_4300"] = there
    assert strangers_browser.get("/runs").status_code == 200
    assert strangers_browser.get("/runs", SERVER_PORT="4300").status_code == 401
    assert strangers_browser.get("/runs", headers={"x-forwarded-for": "127.0.0.1"}).status_code == 401
    assert strangers_browser.get("/runs", REMOTE_ADDR="192.0.2.7").status_code == 403


def test_a_cookie_ends_with_the_server_that_gave_it(strangers_browser: Client, monkeypatch: pytest.MonkeyPatch):
    """A program that takes the port afterwards receives it, but cannot use it."""
    let_in(strangers_browser)
    assert strangers_browser.get("/runs").status_code == 200

    monkeypatch.setattr(local_token, "_token", "orl_of-the-next-start")

    assert strangers_browser.get("/runs").status_code == 401


@pytest.mark.parametrize("change", [lambda value: value[:-1], lambda value: "x" + value, lambda value: ""])
def test_a_forged_cookie_opens_nothing(strangers_browser: Client, change: Any):
    let_in(strangers_browser)
    strangers_browser.cookies[COOKIE] = change(strangers_browser.cookies[COOKIE].value)

    assert strangers_browser.get("/runs").status_code == 401


def test_forms_of_the_owners_browser_need_their_token(strangers_browser: Client):
    let_in(strangers_browser)

    assert strangers_browser.post("/variables/new", {"name": "x", "value": "1"}).status_code == 403
    body = {"content_type": "application/json", "data": '{"name": "x"}'}
    assert strangers_browser.post("/api/flows/", **body).status_code == 403


def test_signing_out_ends_the_owners_browser(strangers_browser: Client):
    let_in(strangers_browser)
    strangers_browser.get("/variables/new")
    token = strangers_browser.cookies["orion_csrf"].value

    strangers_browser.post("/logout", {"csrfmiddlewaretoken": token})

    assert strangers_browser.get("/runs").status_code == 401


def test_a_link_is_for_the_owner_alone(strangers_browser: Client):
    assert (
        Client(headers={"host": "localhost:4200"}).post("/api/me/link", content_type="application/json").status_code
        == 401
    )


def test_the_owner_by_user_may_have_a_link_too(strangers_browser: Client, settings: Any):
    settings.ORION_LOCAL_OWNER = "user"
    client = Client(headers={"host": "localhost:4200"}, **{OWN_USER: True})

    made = client.post("/api/me/link", content_type="application/json")

    assert made.status_code == 201
    assert strangers_browser.get(made.json()["path"]).status_code == 302


# --- the home ---


def test_a_home_that_others_can_read_is_closed_with_words(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)

    with running_server(home, "--no-services") as server:
        mode = stat.S_IMODE(home.stat().st_mode)

    assert mode == 0o700
    assert f"{home} was open to other users of this machine (0755)" in server.output


@as_root
def test_a_home_of_another_user_that_all_may_write_to_is_refused(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    home.chmod(0o777)

    done = orion(home, "server", "start", "--port", "0", "--no-agent")

    assert done.returncode != 0
    assert "Set ORION_HOME to a folder of your own" in done.stderr
