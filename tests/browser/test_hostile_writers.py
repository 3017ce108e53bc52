"""Markup that an operator and an agent wrote, opened by an admin in a real browser: nothing of it runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests import warm
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
create_user(name="ada", password=PASSWORD, roles=["admin"])
keys = {role: key_of(user_with(role)) for role in ("operator", "agent")}
print(json.dumps({**keys, "deployment": str(make_deployment(make_queue()).pk)}))
"""
# Had anything of it run, the page would know.
SPY = "window.hacked = () => { document.documentElement.dataset.hacked = 'yes' }"
LEFT = """document.documentElement.dataset.hacked
  || document.querySelectorAll("[onerror], [onload], [onmouseover]").length"""
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
        variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings")
        made = warm.run(
            [sys.executable, "-c", MAKE], env=variables, cwd=ROOT, capture_output=True, text=True, check=True
        )
        keys = json.loads(made.stdout.splitlines()[-1])
        operator, agent = (caller(server, keys[role]) for role in ("operator", "agent"))
        queues = {"name": "a", "incarnation": keys["deployment"], "work_queues": ["q"], "host": "h"}
        agent("POST", "/api/agents/", queues)
        runs = list(everything_hostile(operator, agent, keys["deployment"]))
        yield Written(f"http://127.0.0.1:{server.port}", runs)


def caller(server: RunningServer, key: str) -> Callable[[str, str, Any], Any]:
    proof = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(method: str, path: str, body: Any) -> Any:
        status, _, text = server.request(method, path, json.dumps(body).encode(), proof)
        assert status < 500, text
        return json.loads(text) if text else None

    return call


def signed_in(chromium: Browser, address: str) -> Page:
    page = chromium.new_context(base_url=address).new_page()
    page.add_init_script(SPY)
    page.goto("/login")
    page.fill("input[name=username]", "ada")
    page.fill("input[name=password]", PASSWORD)
    with page.expect_navigation():
        page.locator("main button[type=submit], form button[type=submit]").last.click()
    return page


@pytest.mark.parametrize(
    "most", [pytest.param(8, marks=pytest.mark.short), pytest.param(150, marks=pytest.mark.everywhere)]
)
@pytest.mark.timeout(900)
def test_nothing_that_others_wrote_runs_in_the_browser_of_an_admin(chromium: Browser, written: Written, most: int):
    page = signed_in(chromium, written.address)
    said: list[str] = []
    page.on("console", lambda one: said.append(f"{page.url}: {one.text}") if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: (said.append(f"{page.url}: a dialog"), dialog.dismiss()))
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
        if "content-disposition" in answer.headers or "html" not in answer.headers.get("content-type", ""):
            continue
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        if page.evaluate(LEFT):
            wrong.append(address)
        links = [one for one in page.evaluate(LINKS) if isinstance(one, str)]
        wrong += [f"{address}: {one}" for one in links if re.match(r"(?i)(javascript|data|vbscript):", one)]
        ahead += links

    assert (wrong, said) == ([], [])
    assert len(seen) == most or not ahead
    page.context.close()
