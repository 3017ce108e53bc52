"""The search over everything that has a name, its list for the palette, and the actions on the object that is shown."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from deployments.blocks.services.variables import create_variable
from deployments.models import ConcurrencyLimit, Deployment, WorkPool, WorkQueue
from orion_site.search.finding import PAGES
from runs.models import ArtifactCollection
from tests.factories import make_flow_run, make_state
from tests.web.deployments import make_deployment
from tests.web.rows import make_run, make_task_run
from tests.web.test_agents_page import make_agent
from tests.web.test_automations_page import make_automation
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_limits_page import make_global

pytestmark = pytest.mark.undivided


def lines(browser: Client, text: str = "", at: str = "") -> list[tuple[str, str, str]]:
    """Return kind, words and address of each line."""
    found = browser.get("/search", {"q": text, "from": at}).context["found"]
    return [(one.kind, one.words, one.address) for one in found]


def test_objects_of_every_kind_are_found_by_a_part_of_their_name(browser: Client, django_assert_max_num_queries: Any):
    run = make_run("the-needle-run", at=timezone.now())
    one = make_deployment("needle")
    pool = WorkPool.objects.create(name="needles", type="process")
    make_agent("needle-worker")
    create_variable(name="needle_path", value="x", tags=[], now=timezone.now())
    make_automation("On a needle")
    make_block(make_schema(), name="needle-block")
    ArtifactCollection.objects.create(key="needle-report", latest_id=uuid4())

    with django_assert_max_num_queries(12):
        found = lines(browser, "needle")

    kinds = [kind for kind, _, _ in found]
    assert {"Deployment", "Run", "Pool", "Agent", "Variable", "Automation", "Block", "Artifact"} <= set(kinds)
    assert ("Run", "etl › the-needle-run", f"/runs/{run.pk}") in found
    assert ("Pool", "needles", f"/work#pool-{pool.pk}") in found
    assert f"/deployments/{one.pk}" in [address for _, _, address in found]
    assert found[-1] == ("Runs", "All runs with 'needle'", "/runs?q=needle")


def test_a_deployment_is_found_by_its_flow_and_its_name(browser: Client):
    one = make_deployment("nightly")

    found = lines(browser, f"{one.flow.name}/nightly")

    assert found[0][0] == "Deployment"


def test_without_a_text_there_are_all_pages_of_the_menu(browser: Client):
    page = browser.get("/search").content.decode()
    menu = set(re.findall(r'<a href="([^"]+)"', page.partition("<main")[0]))

    addresses = [address for _, _, address in lines(browser)]

    assert len(addresses) == len(PAGES)
    assert menu - {"#main"} == set(addresses) - {"/task-runs"}


def test_keys_of_the_menu_are_those_of_the_search(browser: Client):
    page = browser.get("/search").content.decode()

    keys = dict(re.findall(r'<a href="([^"]+)"\s+data-key="([^"]+)"', page))

    found = browser.get("/search").context["found"]
    assert keys == {one.address: one.keys[2:] for one in found if one.keys}
    assert len(set(keys.values())) == len(keys)


def test_every_hit_leads_to_a_page(browser: Client):
    make_run("all-of-them", at=timezone.now())
    make_deployment("all")
    make_automation("all")

    for _, _, address in [*lines(browser), *lines(browser, "all")]:
        assert browser.get(address.partition("#")[0]).status_code in {200, 302}, address


def test_actions_on_the_run_that_is_shown_come_first(browser: Client):
    one = make_deployment("nightly")
    failed, pending = (make_run(state=state, deployment_id=one.pk, flow=one.flow) for state in ("FAILED", "PENDING"))

    on_failed = [words for kind, words, _ in lines(browser, at=f"/runs/{failed.pk}") if kind == "Action"]
    on_pending = [words for kind, words, _ in lines(browser, at=f"/runs/{pending.pk}") if kind == "Action"]

    assert on_failed == [
        "Retry this run", "Run with other parameters…", "Retry this run from a task…", "Delete this run"
    ]  # fmt: skip
    assert on_pending == ["Cancel this run", "Run with other parameters…", "Delete this run"]


def test_a_paused_run_can_be_resumed_or_answered(browser: Client):
    plain = make_flow_run("PAUSED")
    asking = make_flow_run(make_state("PAUSED", run_input_keyset={"schema": "s", "response": "r"}))

    found = [lines(browser, "resume", f"/runs/{run.pk}")[0] for run in (plain, asking)]

    assert found == [
        ("Action", "Resume this run", f"/runs/{plain.pk}/resume?pause={plain.state_id}"),
        ("Action", "Answer and resume this run…", f"/runs/{asking.pk}/resume?pause={asking.state_id}"),
    ]


def test_an_action_on_a_deployment_is_done_from_the_search_without_scripts(browser: Client):
    one = make_deployment("nightly")
    page = browser.get("/search", {"q": "pause", "from": f"/deployments/{one.pk}"}).content.decode()
    address = re.search(r'<form method="post" action="([^"]+/pause)"', page)
    assert address is not None

    browser.post(address[1])

    assert Deployment.objects.get(pk=one.pk).paused
    assert ("Action", "Resume this deployment", f"/deployments/{one.pk}/resume") in lines(
        browser, "resume", f"/deployments/{one.pk}"
    )


def test_actions_of_other_objects_are_those_of_their_pages(browser: Client):
    queue = WorkQueue.objects.create(name="gpu", work_pool=WorkPool.objects.create(name="machines"), is_paused=True)
    task = make_task_run()
    agent = make_agent(minutes_ago=60)
    limits = ConcurrencyLimit.objects.create(tag="gpu", concurrency_limit=1), make_global()
    automation, block = make_automation(), make_block(make_schema())
    nightly = make_deployment("nightly", flow="etl & load")
    make_deployment("weekly", flow="etl & load", paused=True)
    expected = {
        f"/flows/{nightly.flow_id}": [
            "Run nightly now", "Run nightly with other parameters…", "Pause nightly",
            "Run weekly now", "Run weekly with other parameters…", "Resume weekly",
            "Runs of this flow", "Failed runs of this flow", "Deployments of this flow",
        ],
        f"/task-runs/{task.pk}": ["Retry from here…"],
        f"/work/queues/{queue.pk}": ["Resume this queue", "Edit this queue", "Delete this queue"],
        f"/work/pools/{queue.work_pool_id}/edit": ["Pause this pool", "New queue in this pool", "Delete this pool"],
        f"/agents/{agent.pk}": ["Remove this agent"],
        f"/limits/tags/{limits[0].pk}": ["Edit this limit", "Free all slots of this limit", "Delete this limit"],
        f"/limits/global/{limits[1].pk}": ["Edit this limit", "Free all slots of this limit", "Delete this limit"],
        f"/automations/{automation.pk}": [
            "Disable this automation", "Test this automation", "Edit this automation", "Delete this automation"
        ],
        f"/blocks/{block.pk}": ["Edit this block", "Delete this block"],
    }  # fmt: skip

    found = {at: [one for one in lines(browser, at=at) if one[0] == "Action"] for at in expected}

    assert {at: [words for _, words, _ in actions] for at, actions in found.items()} == expected
    for actions in found.values():
        assert {browser.get(address).status_code for _, _, address in actions} <= {200, 405}
    assert found[f"/flows/{nightly.flow_id}"][-2][2] == "/runs?flow=etl+%26+load&state=failed%2Ccrashed"


def test_an_action_that_cannot_be_undone_asks_first(browser: Client):
    run = make_run()
    query = {"q": "delete", "from": f"/runs/{run.pk}"}

    page = " ".join(browser.get("/search", query).content.decode().split())
    option = browser.get("/search", {**query, "part": "list"}).content.decode()

    assert '<summary class="button">Delete this run…</summary>' in page
    assert 'data-question="The run, its task runs' in option


@pytest.mark.parametrize(
    "at",
    [
        "",
        "//evil.example/",
        "/runs/01890a5d-ac96-774b-bcce-b302099a8057",
        "/deployments/01890a5d-ac96-774b-bcce-b302099a8057",
        "/runs/x",
        "http://[",
        "/flows",
    ],
)
def test_elsewhere_there_are_no_actions(browser: Client, at: str):
    assert "Action" not in [kind for kind, _, _ in lines(browser, at=at)]


def test_a_search_without_a_hit_shows_where_it_looked(browser: Client):
    make_deployment("nightly")

    nothing = browser.get("/search", {"q": "no-such-thing"}).content.decode()
    something = browser.get("/search", {"q": "nightly"}).content.decode()

    assert "Nothing is called “<bdi>no-such-thing</bdi>”" in nothing
    assert "the newest 5,000 runs" in nothing
    assert "Nothing is called" not in something


def test_the_list_alone_has_options_without_links(browser: Client):
    run = make_run("brave-otter", at=timezone.now())

    part = browser.get("/search", {"q": "otter", "part": "list"}).content.decode()
    pasted = browser.get("/search", {"q": f"line of {run.pk}: gone", "part": "list"}).content.decode()

    assert 'role="option"' in part
    assert "<a " not in part
    assert "<html" not in part
    assert f'data-href="/runs/{run.pk}"' in part
    assert f'data-href="/runs/{run.pk}"' in pasted
    assert "Open what this id names" in pasted


@pytest.mark.parametrize("text", ["%", "_", "<script>evil()</script>", "x" * 5000, "\\", "'", "( OR 1=1"])
def test_any_search_text_is_escaped_and_answered(browser: Client, text: str):
    answer = browser.get("/search", {"q": text})

    assert answer.status_code == 200
    assert "<script>evil" not in answer.content.decode()


def test_scripts_of_lists_are_light(browser: Client):
    page = browser.get("/runs").content.decode()
    scripts = re.findall(r'<script src="/static/[^/]+/([^"]+)"', page)

    size = sum(len(gzip.compress((Path(settings.BASE_DIR) / "static" / name).read_bytes())) for name in scripts)

    assert len(scripts) == 3
    assert size <= 35_000
