"""One contact sheet for each page, at the width of a phone and of a desk, light and dark: `make screenshots`.

    python -m tests.browser.screenshots [folder] [--server http://127.0.0.1:4200] [--only home]

They are taken from the sample's server, unless another one is named.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.sample import sample_server
from tests.homes import ROOT

WIDTHS, SCHEMES = (390, 1440), ("light", "dark")
# Long pages are cut: what stands so far below is more of the same.
HIGHEST = 2400
# Addresses; {…} is the first run or deployment that the API finds for this filter.
PAGES = {
    "home": "/",
    "runs": "/runs",
    "runs-failed": "/runs?state=failed",
    "run-failed": "/runs/{failed}",
    "run-failed-log": "/runs/{failed}?tab=logs",
    "run-failed-history": "/runs/{failed}?tab=history",
    "run-running": "/runs/{running}",
    "run-late": "/runs/{late}",
    "run-mapped": "/runs/{mapped}",
    "run-graph": "/runs/{failed}?tab=graph",
    "run-radar": "/runs/{nested}?tab=graph&view=radar",
    "run-nested": "/runs/{nested}",
    "run-retried": "/runs/{retried}",
    "flows": "/flows",
    "deployments": "/deployments",
    "deployment": "/deployments/{deployment}",
    "deployment-run": "/deployments/{deployment}/run",
    "schedule": "/schedule",
    "work": "/work",
    "agents": "/agents",
    "limits": "/limits",
    "events": "/events",
    "automations": "/automations",
    "automation-new": "/automations/new",
    "notifications": "/notifications",
    "blocks": "/blocks",
    "variables": "/variables",
    "artifacts": "/artifacts",
    "status": "/status",
    "settings": "/settings",
    "search": "/search?q=etl",
}
RUNS = {
    "failed": {"flows": {"name": {"any_": ["etl"]}}, "flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}},
    "running": {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}},
    "late": {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}},
    "mapped": {"flows": {"name": {"any_": ["thumbnails"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
    "nested": {"flows": {"name": {"any_": ["report"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
    "retried": {"flows": {"name": {"any_": ["rates"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--server", help="take them from this server")
    parser.add_argument("--only", help="pages whose name begins so")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with served(asked.server) as address, sync_playwright() as playwright:
        names = ids(address)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, path in PAGES.items():
            if not name.startswith(asked.only or ""):
                continue
            pictures = [
                taken(
                    browser,
                    address + path.format(**names),
                    asked.folder / f"{name}-{width}-{scheme}.png",
                    width,
                    scheme,
                )
                for width in WIDTHS
                for scheme in SCHEMES
            ]
            print(contact_sheet(browser, pictures, asked.folder / f"{name}.png"))
        browser.close()


@contextmanager
def served(address: str | None) -> Iterator[str]:
    if address:
        yield address.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as home, sample_server(Path(home)) as server:
        yield f"http://127.0.0.1:{server.port}"


def ids(address: str) -> dict[str, str]:
    """The runs and the deployment whose pages are shown."""
    found = {
        name: first(address, "flow_runs", **wanted, sort="EXPECTED_START_TIME_DESC") for name, wanted in RUNS.items()
    }
    return {**found, "deployment": first(address, "deployments", flows={"name": {"any_": ["etl"]}})}


def first(address: str, kind: str, **wanted: object) -> str:
    body = json.dumps({**wanted, "limit": 1}).encode()
    with urlopen(Request(f"{address}/api/{kind}/filter", body, {"Content-Type": "application/json"})) as answer:
        rows = json.load(answer)
    return str(rows[0]["id"]) if rows else "00000000-0000-0000-0000-000000000000"


def taken(browser: Browser, address: str, file: Path, width: int, scheme: str) -> Path:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_timeout(300)
    height = min(page.evaluate("document.documentElement.scrollHeight"), HIGHEST)
    page.set_viewport_size({"width": width, "height": max(height, 900)})
    page.screenshot(path=file)
    context.close()
    return file


def contact_sheet(browser: Browser, pictures: list[Path], file: Path) -> Path:
    """Put pictures beside each other, as a page that shows them."""
    sheet = file.with_suffix(".html")
    sheet.write_text(
        "<!DOCTYPE html><style>body { display: flex; gap: 16px; align-items: start; background: gray }</style>"
        + "".join(f"<img src='{one.name}' alt='{one.stem}'>" for one in pictures)
    )
    page = browser.new_page(viewport={"width": 3740, "height": 900})
    page.goto(sheet.as_uri())
    page.screenshot(path=file, full_page=True)
    page.close()
    sheet.unlink()
    for one in pictures:
        one.unlink()
    return file


if __name__ == "__main__":
    main()
