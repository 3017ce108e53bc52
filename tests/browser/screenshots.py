"""One contact sheet for each page, at the width of a phone and of a desk, light and dark: `make screenshots`.

    python -m tests.browser.screenshots [folder] [--server http://127.0.0.1:4200] [--only normal/home]

They are taken from five servers: `normal` has the sample, `each` a row of each kind, `empty` nothing, `full` more than
fits and `extreme` the longest names and largest numbers; `wrong` shows the forms of `each` after nothing was filled in.
Or from the server that is named.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.houses import extreme_server, furnished_server, is_page, overfull_server
from tests.browser.sample import sample_server
from tests.browser.test_every_page import FORM, SEND_NOTHING, is_form
from tests.homes import ROOT
from tests.site.running import running_server

WIDTHS, SCHEMES = (390, 1440), ("light", "dark")
# Long pages are cut here, because more of the same follows.
HIGHEST = 2400
GAP = 16
# Addresses; {…} is the first run or deployment that the API finds for this filter.
PAGES = {
    "home": "/",
    "runs": "/runs",
    "runs-failed": "/runs?state=failed",
    "run-failed": "/runs/{failed}",
    "run-failed-log": "/runs/{failed}?tab=logs",
    "run-failed-parameters": "/runs/{failed}?tab=parameters",
    "run-failed-history": "/runs/{failed}?tab=history",
    "run-running": "/runs/{running}",
    "run-late": "/runs/{late}",
    "run-asks": "/runs/{paused}",
    "run-mapped": "/runs/{mapped}",
    "run-graph": "/runs/{failed}?tab=graph",
    "run-radar": "/runs/{nested}?tab=graph&view=radar",
    "run-nested": "/runs/{nested}",
    "run-retried": "/runs/{retried}",
    "run-results": "/runs/{mapped}?tab=results",
    "run-time": "/runs/{mapped}?tab=time",
    "run-tasks": "/runs/{mapped}?tab=tasks",
    "run-retry-from": "/runs/{failed}/retry-from",
    "compare": "/runs/{last_good}..{failed}",
    "problems": "/problems",
    "problem": "/problems/{problem}",
    "bulk": "/runs/all/retry?state=failed",
    "bulk-actions": "/bulk",
    "common": "/runs/common?state=failed",
    "time": "/time",
    "task-runs": "/task-runs",
    "task-run": "/task-runs/{task_run}",
    "flows": "/flows",
    "flow": "/flows/{flow}",
    "deployments": "/deployments",
    "deployment": "/deployments/{deployment}",
    "deployment-run": "/deployments/{deployment}/run",
    "deployment-schedules": "/deployments/{deployment}?tab=schedules",
    "deployment-backfill": "/deployments/{deployment}/backfill",
    "schedule": "/schedule",
    "work": "/work",
    "pool-new": "/work/pools/new",
    "pool-edit": "/work/pools/{pool}/edit",
    "queue": "/work/queues/{queue}",
    "agents": "/agents",
    "agent": "/agents/{agent}",
    "archive": "/archive",
    "limits": "/limits",
    "events": "/events",
    "automations": "/automations",
    "automation-new": "/automations/new",
    "notifications": "/notifications",
    "blocks": "/blocks",
    "variables": "/variables",
    "artifacts": "/artifacts",
    "status": "/status",
    "audit": "/audit",
    "settings": "/settings",
    "settings-keys": "/settings/keys",
    "settings-users": "/settings/users",
    "settings-groups": "/settings/groups",
    "login": "/login",
    "api": "/api/health",
    "search": "/search?q=etl",
    "help": "/help",
    "help-page": "/help/howto/on-a-server",
    "help-search": "/help?q=postgresql",
}
RUNS = {
    "last_good": {"flows": {"name": {"any_": ["etl"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
    "failed": {"flows": {"name": {"any_": ["etl"]}}, "flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}},
    "running": {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}},
    "late": {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}},
    "paused": {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}},
    "mapped": {"flows": {"name": {"any_": ["thumbnails"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
    "nested": {"flows": {"name": {"any_": ["report"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
    "retried": {"flows": {"name": {"any_": ["rates"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
}
# Objects that no API filter finds: the first link on a page to one of the kind.
LINKED = {
    "problem": ("/problems", "/problems/"),
    "task_run": ("/task-runs", "/task-runs/"),
    "flow": ("/flows", "/flows/"),
    "pool": ("/work", "/work/pools/"),
    "queue": ("/work", "/work/queues/"),
    "agent": ("/agents", "/agents/"),
    "bulk_action": ("/bulk", "/bulk/"),
    "backfill": ("/deployments/{deployment}/backfill", "/backfills/"),
    "event": ("/events", "/events/"),
    "automation": ("/automations", "/automations/"),
    "block": ("/blocks", "/blocks/"),
    "artifact": ("/artifacts", "/artifacts/"),
    "tag_limit": ("/limits", "/limits/tags/"),
}
NOTHING = "00000000-0000-0000-0000-000000000000"

GROUPS = ("normal", "each", "wrong", "empty", "full", "extreme")
# The other servers: pages by their names, of a house or by address.
EMPTY = {name: path for name, path in PAGES.items() if "{" not in path and "?" not in path and "new" not in name} | {
    "runs-failed": "/runs?state=failed",
    "search": "/search?q=nothing",
    "admin": "/admin/",
}
FULL = EMPTY | {
    "run": "/runs/{failed}",
    "run-tasks": "/runs/{failed}?tab=tasks",
    "run-logs": "/runs/{failed}?tab=logs",
    "run-graph": "/runs/{failed}?tab=graph",
    "run-radar": "/runs/{failed}?tab=graph&view=radar",
    "run-radar-of-a-chain": "/runs/{chain}?tab=graph&view=radar",
    "run-history": "/runs/{failed}?tab=history",
    "run-parameters": "/runs/{failed}?tab=parameters",
    "run-artifacts": "/runs/{failed}?tab=artifacts",
    "deployment": "/deployments/{deployment}",
    "deployment-schedules": "/deployments/{deployment}?tab=schedules",
    "deployment-run": "/deployments/{deployment}/run",
    "backfill": "/deployments/{deployment}/backfill",
    "task-run": "/task-runs/{task_run}",
    "flow": "/flows/{flow}",
    "queue": "/work/queues/{queue}",
    "agent": "/agents/{agent}",
    "tag-limit": "/limits/tags/{tag_limit}",
    "automation": "/automations/{automation}",
    "event": "/events/{event}",
    "artifact": "/artifacts/{artifact}",
    "backfill-progress": "/backfills/{backfill}",
    "bulk": "/runs/all/retry?state=failed",
    "bulk-actions": "/bulk",
    "bulk-action": "/bulk/{bulk_action}",
    "problem": "/problems/{problem}",
    "search": "/search?q=settlement",
    "admin": "/admin/",
    "admin-runs": "/admin/runs/flowrun/",
    "calendars": "/calendars",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--server", help="take the sample's pages from this server")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS, help="in pixels")
    parser.add_argument("--schemes", nargs="+", default=SCHEMES, choices=SCHEMES)
    parser.add_argument("--only", default="", help="sheets whose name begins so, as in `normal/run`")
    asked = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for group in ("normal",) if asked.server else GROUPS:
            if not f"{group}/".startswith(asked.only.partition("/")[0]):
                continue
            (asked.folder / group).mkdir(parents=True, exist_ok=True)
            with served(group, asked.server) as (address, pages):
                wanted = {name: path for name, path in pages.items() if f"{group}/{name}".startswith(asked.only)}
                screens = [(width, scheme) for width in asked.widths for scheme in asked.schemes]
                take(browser, address, wanted, asked.folder / group, screens, sends_nothing=group == "wrong")
        browser.close()


@contextmanager
def served(group: str, address: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """A server with what the group is about, and the addresses of its pages by name."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        if group in ("each", "wrong"):
            house = stack.enter_context(furnished_server(home, "plain"))
            every = {re.sub(r"[^\w-]+", "-", name).strip("-"): path for name, path in house.named.items()}
            yield house.address, every if group == "each" else {n: p for n, p in every.items() if is_form(p)}
            return
        if group == "extreme":
            house = stack.enter_context(extreme_server(home))
            yield house.address, house.pages
            return
        servers = {"normal": sample_server, "empty": running_server, "full": overfull_server}
        if not address:
            address = f"http://127.0.0.1:{stack.enter_context(servers[group](home)).port}"
        pages = {"normal": PAGES, "empty": EMPTY, "full": FULL}[group]
        found = {} if group == "empty" else ids(address, group)
        yield address.rstrip("/"), {name: path.format(**found) for name, path in pages.items()}


def take(
    browser: Browser,
    address: str,
    pages: dict[str, str],
    folder: Path,
    screens: list[tuple[int, str]],
    *,
    sends_nothing: bool,
) -> None:
    contexts = {
        (width, scheme): browser.new_context(
            base_url=address,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        for width, scheme in screens
    }
    for name, path in pages.items():
        pictures = [
            taken(context, path, folder / f"{name}-{width}-{scheme}.png", width, sends_nothing)
            for (width, scheme), context in contexts.items()
        ]
        shown = [one for one in pictures if one is not None]
        if shown:
            print(contact_sheet(shown, folder / f"{name}.png"), flush=True)
    for context in contexts.values():
        context.close()


def ids(address: str, group: str) -> dict[str, str]:
    """The runs and the deployment whose pages are shown."""
    named = {"failed": "the-consolidated", "chain": "forty-steps"}
    wanted = RUNS if group == "normal" else {one: {"flow_runs": {"name": {"like_": n}}} for one, n in named.items()}
    found = {name: first(address, "flow_runs", **one, sort="EXPECTED_START_TIME_DESC") for name, one in wanted.items()}
    flows = {"flows": {"name": {"any_": ["etl"]}}} if group == "normal" else {}
    found["deployment"] = first(address, "deployments", **flows, sort="NAME_ASC")
    return found | {name: linked(address + page.format(**found), start) for name, (page, start) in LINKED.items()}


def linked(page: str, start: str) -> str:
    with urlopen(page) as answer:
        link = re.search(rf'href="{start}([0-9a-f-]{{36}})', answer.read().decode())
    return link[1] if link else NOTHING


def first(address: str, kind: str, **wanted: object) -> str:
    body = json.dumps({**wanted, "limit": 1}).encode()
    with urlopen(Request(f"{address}/api/{kind}/filter", body, {"Content-Type": "application/json"})) as answer:
        rows = json.load(answer)
    return str(rows[0]["id"]) if rows else NOTHING


def taken(context: BrowserContext, path: str, file: Path, width: int, sends_nothing: bool) -> Path | None:
    """A picture of the page; None if there is none to look at."""
    page = context.new_page()
    if not is_page(context, path):
        page.close()
        return None
    page.goto(path)
    if sends_nothing:
        if not page.locator(FORM).count():
            page.close()
            return None
        with page.expect_navigation():
            page.locator(FORM).first.evaluate(SEND_NOTHING)
    page.wait_for_timeout(300)
    height = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
    page.set_viewport_size({"width": width, "height": max(height, 900)})
    page.screenshot(path=file)
    page.close()
    return file


def contact_sheet(pictures: list[Path], file: Path) -> Path:
    """Put pictures beside each other."""
    images = [Image.open(one).convert("RGB") for one in pictures]
    size = sum(one.width + GAP for one in images) - GAP, max(one.height for one in images)
    sheet = Image.new("RGB", size, "gray")
    left = 0
    for one in images:
        sheet.paste(one, (left, 0))
        left += one.width + GAP
    sheet.save(file)
    for picture in pictures:
        picture.unlink()
    return file


if __name__ == "__main__":
    main()
