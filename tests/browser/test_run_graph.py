"""Graph and radar in a browser: they fit, follow a run that goes on, and work by pointer, keys and without scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import APIRequestContext, Browser, Locator, Page, expect

from tests.browser.conftest import Shown
from tests.browser.test_pages import SCREENS

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Pipeline:
    """A running flow: two tables are read and cleaned, and joined."""

    address: str
    run: str
    tasks: dict[str, str]


@pytest.fixture(scope="module")
def pipeline(chromium: Browser, shown: Shown) -> Pipeline:
    context = chromium.new_context(base_url=shown.address)
    made = make_pipeline(context.request, shown)
    context.close()
    return made


def make_pipeline(request: APIRequestContext, shown: Shown) -> Pipeline:
    run = post(request, "/flow_runs/", flow_id=shown.flow, state={"type": "RUNNING"})
    tasks: dict[str, str] = {}
    for name, *sources in (
        ("read-0",), ("read-1",), ("clean-0", "read-0"), ("clean-1", "read-1"), ("join-0", "clean-0", "clean-1")
    ):  # fmt: skip
        tasks[name] = add_task(request, run, name, *(tasks[one] for one in sources))
    return Pipeline(shown.address, run, tasks)


def add_task(request: APIRequestContext, run: str, name: str, *sources: str) -> str:
    inputs = {"rows": [{"input_type": "task_run", "id": one} for one in sources]}
    return post(
        request, "/task_runs/", flow_run_id=run, task_key=f"etl.{name.split('-')[0]}", dynamic_key=name, name=name,
        task_inputs=inputs if sources else {}, state={"type": "COMPLETED"},
    )  # fmt: skip


def post(request: APIRequestContext, path: str, **body: Any) -> str:
    answer = request.post(f"/api{path}", headers={"Content-Type": "application/json"}, data=json.dumps(body))
    assert answer.ok, answer.text()
    return str(answer.json()["id"])


@pytest.fixture
def page(chromium: Browser, pipeline: Pipeline) -> Iterator[Page]:
    context = chromium.new_context(base_url=pipeline.address, viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


def node(page: Page, name: str) -> Locator:
    return page.locator(".graph-svg a", has_text=name)


@pytest.mark.parametrize(("width", "scheme"), [one for one in SCREENS if one[0] in (320, 1440)])
def test_views_fit_their_screen_and_the_console_stays_silent(
    chromium: Browser, pipeline: Pipeline, width: int, scheme: str
):
    context = chromium.new_context(
        base_url=pipeline.address,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda one: complaints.append(one.text) if one.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    wide = []
    for view in ("graph", "radar", "table"):
        page.goto(f"/runs/{pipeline.run}?tab=graph&view={view}&node={pipeline.tasks['clean-0']}")
        # A browser complains of a socket that is left while it is being opened.
        expect(page.locator("#live-control")).to_have_attribute("data-state", "live")
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(view)
    context.close()

    assert wide == []
    assert complaints == []


@pytest.mark.parametrize("view", ["graph", "radar"])
def test_a_node_that_is_clicked_is_marked_with_its_data_and_has_a_panel(page: Page, pipeline: Pipeline, view: str):
    page.goto(f"/runs/{pipeline.run}?tab=graph&view={view}")

    node(page, "clean-0").click()

    expect(node(page, "read-0")).to_have_class(re.compile("upstream"))
    expect(node(page, "join-0")).to_have_class(re.compile("downstream"))
    expect(node(page, "read-1")).not_to_have_class(re.compile("stream"))
    panel = page.get_by_role("region", name="Chosen node")
    expect(panel.get_by_role("heading", name="clean-0")).to_be_visible()
    expect(panel).to_contain_text("1 upstream, 1 downstream")
    assert f"node={pipeline.tasks['clean-0']}" in page.url
    panel.get_by_role("link", name="join-0").click()
    expect(page.get_by_role("region", name="Chosen node")).to_contain_text("4 upstream, 0 downstream")


def test_the_keyboard_walks_along_the_data_and_opens_a_run(page: Page, pipeline: Pipeline):
    page.goto(f"/runs/{pipeline.run}?tab=graph")
    page.locator(".graph-view").focus()
    page.keyboard.press("Tab")
    expect(node(page, "read-0")).to_be_focused()

    page.keyboard.press("ArrowDown")
    expect(node(page, "read-1")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(node(page, "clean-1")).to_be_focused()
    expect(node(page, "clean-1")).to_have_class(re.compile("chosen"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    # The panel appeared in the meantime, and did not take the focus.
    expect(page.get_by_role("region", name="Chosen node")).to_contain_text("clean-0")
    expect(node(page, "clean-0")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page).to_have_url(f"{pipeline.address}/task-runs/{pipeline.tasks['clean-0']}")


def width_of(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["width"]


def test_buttons_and_keys_zoom(page: Page, pipeline: Pipeline):
    page.goto(f"/runs/{pipeline.run}?tab=graph")
    picture = page.locator(".graph-svg")
    first = width_of(picture)

    page.get_by_role("button", name="Larger").click()
    larger = width_of(picture)
    page.locator(".graph-view").focus()
    page.keyboard.press("-")
    page.keyboard.press("-")
    smaller = width_of(picture)
    page.keyboard.press("0")

    assert smaller < first < larger
    assert width_of(picture) == pytest.approx(first, abs=1)


def test_a_running_flow_fills_the_graph_and_its_nodes_keep_their_places(page: Page, shown: Shown):
    pipeline = make_pipeline(page.request, shown)
    page.goto(f"/runs/{pipeline.run}?tab=graph")
    page.get_by_role("button", name="Larger").click()
    expect(page.locator("#live-control")).to_contain_text("Live")
    before = node(page, "join-0").bounding_box()

    add_task(page.request, pipeline.run, "publish-0", pipeline.tasks["join-0"])

    expect(node(page, "publish-0")).to_be_attached()
    expect(page.locator(".graph-svg .edge")).to_have_count(5)
    after = node(page, "join-0").bounding_box()
    assert before is not None
    assert after is not None
    # The picture is centred while it is narrower than its frame.
    assert after["y"] == before["y"]
    assert after["width"] == before["width"]
    assert page.locator(".graph-svg a[tabindex='0']").count() == 1


def test_without_scripts_nodes_are_links_and_the_table_has_the_same_content(chromium: Browser, pipeline: Pipeline):
    context = chromium.new_context(base_url=pipeline.address, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/runs/{pipeline.run}?tab=graph&view=radar")

    node(page, "join-0").click()
    expect(page.get_by_role("region", name="Chosen node")).to_contain_text("4 upstream")
    expect(page.get_by_role("button", name="Larger")).to_be_hidden()
    page.get_by_role("link", name="Table").click()

    expect(page.get_by_role("row", name="join-0")).to_contain_text("clean-0, clean-1")
    expect(page.get_by_role("region", name="Chosen node")).to_be_visible()
    context.close()


def test_the_picture_is_saved_as_a_file_that_needs_no_server(page: Page, pipeline: Pipeline, tmp_path):
    page.goto(f"/runs/{pipeline.run}?tab=graph&node={pipeline.tasks['clean-0']}")
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as SVG").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    page.goto(file.as_uri())

    assert file.suffix == ".svg"
    assert page.locator("text.words").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.s-completed')).color") == "rgb(39, 156, 110)"
