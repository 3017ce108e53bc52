"""Markup that others wrote, opened in a real browser by an admin, an operator and a viewer: nothing of it runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests import warm
from tests.browser.houses import House, furnished_server, is_page
from tests.homes import ROOT
from tests.security.askers import PASSWORD
from tests.security.hostile import everything_hostile
from tests.site.running import RunningServer, environment, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MAKE = """
import django, json
django.setup()
from orion_site.accounts.users import create_user
from tests.security.askers import PASSWORD, key_of, user_with
from tests.services.dispatching import make_deployment, make_queue
for role in ("admin", "operator", "viewer"):
    create_user(name=f"an-{role}", password=PASSWORD, roles=[role])
keys = {role: key_of(user_with(role)) for role in ("operator", "agent")}
print(json.dumps({**keys, "deployment": str(make_deployment(make_queue()).pk)}))
"""
ROLES = ("admin", "operator", "viewer")
# If any of it had run, the page would have recorded it.
SPY = "window.hacked = () => { document.documentElement.dataset.hacked = 'yes' }"
LEFT = """document.documentElement.dataset.hacked
  || document.querySelectorAll("[onerror], [onload], [onmouseover], hr[evil]").length"""
LINKS = "[...document.querySelectorAll('a[href]')].map((one) => one.href)"


@dataclass
class Written:
    """The server, and the runs that hold the markup."""

    address: str
    runs: list[str]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    home = tmp_path_factory.mktemp("hostile")
    with running_server(home, "--no-services") as server:
        keys = made_in(home)
        operator, agent = (caller(server, keys[role]) for role in ("operator", "agent"))
        queues = {"name": "a", "incarnation": keys["deployment"], "work_queues": ["q"], "host": "h"}
        agent("POST", "/api/agents/", queues)
        runs = list(everything_hostile(operator, agent, keys["deployment"]))
        yield Written(f"http://127.0.0.1:{server.port}", runs)


@pytest.fixture(scope="module")
def evil_house_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("evil-by-roles")
    with furnished_server(home, "evil") as house:
        made_in(home)
        yield house


def made_in(home: Path) -> dict[str, str]:
    """Users of each role, whose keys there are for an operator and an agent, and the id of a deployment."""
    variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings")
    made = warm.run([sys.executable, "-c", MAKE], env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return found


def caller(server: RunningServer, key: str) -> Callable[[str, str, Any], Any]:
    proof = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(method: str, path: str, body: Any) -> Any:
        status, _, text = server.request(method, path, json.dumps(body).encode(), proof)
        assert status < 500, text
        return json.loads(text) if text else None

    return call


def signed_in(chromium: Browser, address: str, role: str, below: str = "") -> Page:
    page = chromium.new_context(base_url=address).new_page()
    # On a busy machine checking a password takes long.
    page.set_default_timeout(120_000)
    page.add_init_script(SPY)
    page.goto(f"{below}/login")
    page.fill("input[name=username]", f"an-{role}")
    page.fill("input[name=password]", PASSWORD)
    with page.expect_navigation():
        page.locator("main button[type=submit], form button[type=submit]").last.click()
    return page


# ReDoc asks for it once it has drawn its page, and our policy refuses.
MAKERS_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"


def console_messages(page: Page) -> list[str]:
    """Collect what the console says from now on, and dialogs, which nothing of ours opens."""
    messages: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and MAKERS_LOGO not in message.text:
            messages.append(f"{page.url}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: messages.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: (messages.append(f"{page.url}: a dialog"), dialog.dismiss()))
    return messages


def what_got_through(page: Page) -> list[str]:
    """Markup that became elements or links of the page that is shown, with all details open."""
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    links = [one for one in page.evaluate(LINKS) if isinstance(one, str)]
    scripts = [one for one in links if re.match(r"(?i)(javascript|data|vbscript):", one)]
    return [f"{page.url}: {one}" for one in (*scripts, *(["markup"] if page.evaluate(LEFT) else []))]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("walk", ["a few pages", pytest.param("every page", marks=pytest.mark.everywhere)])
@pytest.mark.parametrize("role", ROLES)
def test_no_name_runs_as_a_script_on_any_page_for_any_user(
    chromium: Browser, evil_house_with_users: House, role: str, walk: str
):
    page = signed_in(chromium, evil_house_with_users.address, role)
    messages, wrong, seen = console_messages(page), list[str](), 0

    for path in evil_house_with_users.paths(walk):
        if is_page(page.context, path):
            page.goto(path)
            wrong += what_got_through(page)
            seen += 1

    assert (wrong, messages) == ([], [])
    assert seen >= 5
    page.context.close()


@pytest.mark.parametrize(
    ("role", "most"),
    [pytest.param("admin", 8, marks=pytest.mark.short)]
    + [pytest.param(role, 150, marks=pytest.mark.everywhere) for role in ROLES],
)
@pytest.mark.timeout(900)
def test_nothing_that_others_wrote_runs(chromium: Browser, written: Written, role: str, most: int):
    page = signed_in(chromium, written.address, role)
    messages = console_messages(page)
    run = f"{written.address}/runs/{written.runs[0]}"
    ahead = [f"{run}?tab={tab}" for tab in ("log", "tasks", "artifacts", "parameters", "graph", "history")]
    ahead += [f"{written.address}{path}" for path in ("/runs", "/artifacts", "/audit", "/search?q=img", "/deployments")]
    seen, kinds, wrong = set[str](), dict[str, int](), list[str]()

    while ahead and len(seen) < most:
        address = ahead.pop(0).partition("#")[0]
        kind = re.sub(r"[0-9a-f-]{36}|=[^&]*", "*", address)
        is_ours = address.startswith(written.address) and not re.search(r"/(api|admin|logout|docs|redoc)\b", address)
        if not is_ours or address in seen or kinds.get(kind, 0) >= 2:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        seen.add(address)
        answer = page.request.head(address)
        if not answer.ok or "content-disposition" in answer.headers or "html" not in answer.headers["content-type"]:
            continue
        page.goto(address)
        wrong += what_got_through(page)
        ahead += [one for one in page.evaluate(LINKS) if isinstance(one, str)]

    assert (wrong, messages) == ([], [])
    assert len(seen) == most or not ahead
    page.context.close()
