"""The operators' room in a browser: from the index to a command that is done, on phones too, in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown, move, post
from tests.site.running import RunningServer, running_server

pytestmark = pytest.mark.browser

PAGES = ["/admin/", "/admin/runs/flowrun/", "/admin/runs/flowrun/{run}/change/", "/admin/prune/", "/admin/runs/log/"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def run(server: RunningServer) -> str:
    flow = post(server, "/flows/", name="etl")["id"]
    made = post(server, "/flow_runs/", flow_id=flow, name="brave-otter")["id"]
    move(server, "flow_runs", made, "RUNNING")
    return str(made)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_an_operator_cancels_a_run_after_a_dry_run(chromium: Browser, server: RunningServer, run: str, scripts: bool):
    context = chromium.new_context(base_url=f"http://127.0.0.1:{server.port}", java_script_enabled=scripts)
    page: Page = context.new_page()

    page.goto(f"/runs/{run}")
    page.get_by_role("link", name="In the admin").click()
    page.get_by_role("link", name="Flow runs", exact=True).first.click()
    page.locator(f"input[name=_selected_action][value='{run}']").check()
    page.get_by_label("Action:").select_option("cancel")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", name="Cancel 1 flow run?")).to_be_visible()
    page.get_by_role("button", name="Cancel 1 flow run").click()

    expect(page.get_by_text("1 flow run cancelled, or asked to stop")).to_be_visible()
    expect(page.locator("tr", has=page.locator(f"[value='{run}']")).get_by_text("Cancelling")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_pages_fit_their_screen_in_silence(chromium: Browser, server: RunningServer, run: str, width: int, scheme: str):
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{server.port}",
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda one: messages.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: messages.append(str(error)))

    wide = []
    for path in PAGES:
        page.goto(path.format(run=run))
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            wide.append(path)
    context.close()

    assert (wide, messages) == ([], [])


def test_the_sidebar_is_closed_on_narrow_screens_until_it_is_opened(chromium: Browser, server: RunningServer):
    with chromium.new_context(base_url=f"http://127.0.0.1:{server.port}") as context:
        page = context.new_page()
        sidebar, toggle = page.locator("#nav-sidebar"), page.locator("#toggle-nav-sidebar")
        page.set_viewport_size({"width": 1200, "height": 800})
        page.goto("/admin/runs/flowrun/")
        expect(sidebar).to_be_hidden()

        page.set_viewport_size({"width": 1440, "height": 800})
        page.reload()
        expect(sidebar).to_be_visible()

        page.set_viewport_size({"width": 1200, "height": 800})
        page.reload()
        expect(sidebar).to_be_hidden()
        toggle.click()
        expect(sidebar).to_be_visible()
        page.reload()
        expect(sidebar).to_be_visible()
        toggle.click()
        expect(sidebar).to_be_hidden()


def test_names_of_flows_have_room_beside_the_filters(chromium: Browser, server: RunningServer, run: str):
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{server.port}", viewport={"width": 1440, "height": 900}
    )  # fmt: skip
    page = context.new_page()

    page.goto("/admin/runs/flowrun/")
    box = page.locator("td.field-flow").first.bounding_box()

    assert box is not None
    assert box["width"] >= 130
    context.close()


def test_the_shown_server_has_the_index_too(chromium: Browser, shown: Shown):
    page = chromium.new_page(base_url=shown.address)
    page.goto("/admin/")
    page.get_by_role("link", name="running").click()

    expect(page.get_by_role("heading", name="Flow runs")).to_be_visible()
    page.close()
