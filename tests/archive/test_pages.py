"""The pages of the archive: lists, one run, what is wrong with it, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from deployments.archive import place as places
from deployments.archive.restoring import restore_run
from deployments.archive.selectors import Wanted, archived_run, archived_runs
from deployments.archive.services import archive_runs, write
from deployments.models import Deployment
from orchestration.services import propose_flow_run_state
from orchestration.sight import seeing
from orion_site.accounts.objects import NamedSight
from runs.models import FlowRun
from tests.factories import NOON, make_flow, make_flow_run, make_log, make_state, make_task_run
from tests.web.conftest import HOSTILE

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
OLD = NOON - 20 * DAY


@pytest.fixture
def browser() -> Client:
    return Client(headers={"host": "127.0.0.1:4200"})


def ended(state: str = "COMPLETED", at=OLD, **fields) -> FlowRun:
    run = make_flow_run("RUNNING", now=at, **fields)
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state, message="it ended"), now=at, force=True)
    return run


def archived() -> None:
    archive_runs(older_than=14 * DAY, now=NOON)


def shown(answer) -> str:
    return " ".join(answer.content.decode().split())


def test_without_an_archive_the_page_teaches(browser: Client, settings):
    settings.ORION_ARCHIVE_PATH = ""

    assert "ORION_ARCHIVE_PATH" in shown(browser.get("/archive"))
    assert browser.get(f"/archive/{uuid4()}").status_code == 404
    assert "/archive" not in shown(browser.get("/runs"))


def test_an_empty_archive_teaches(browser: Client):
    assert "Nothing is archived yet" in shown(browser.get("/archive"))
    assert 'href="/archive"' in shown(browser.get("/runs"))


def test_a_run_is_listed_and_shown_with_what_is_kept_of_it(browser: Client, django_assert_max_num_queries):
    run = ended("FAILED", name="nightly", parameters={"x": HOSTILE})
    make_log(HOSTILE, flow_run=run, now=OLD)
    archived()

    with django_assert_max_num_queries(12):
        page = shown(browser.get("/archive?state=failed&since=2025-12-01&until=2025-12-31"))
        one = shown(browser.get(f"/archive/{run.pk}"))

    assert f'href="/archive/{run.pk}">nightly<' in page
    assert "it ended" in one
    assert ">archived <time" in one
    assert HOSTILE not in one
    assert browser.get("/archive?state=completed").context["runs"] == []


def test_a_link_to_a_run_leads_on_to_the_archive(browser: Client):
    run = ended()
    archived()

    answer = browser.get(f"/runs/{run.pk}")

    assert (answer.status_code, answer["Location"]) == (302, f"/archive/{run.pk}")
    assert browser.get(f"/runs/{uuid4()}").status_code == 404


def test_pages_continue(browser: Client, monkeypatch):
    monkeypatch.setattr("deployments.pages.archive.RUNS_PER_PAGE", 2)
    runs = {str(ended().pk) for _ in range(3)}
    archived()

    first = browser.get("/archive")
    second = browser.get(f"/archive{first.context['next']}")

    assert {str(one.id) for page in (first, second) for one in page.context["runs"]} == runs
    assert not second.context["next"]


def test_a_long_search_shows_how_far_back_it_came_and_continues(browser: Client, monkeypatch):
    monkeypatch.setattr("deployments.archive.selectors.BATCHES_AT_ONCE", 1)
    monkeypatch.setattr("deployments.pages.archive.PATIENCE_SECONDS", 0.0)
    runs = []
    for days in (0, 1, 1, 2, 3):
        runs.append(ended(at=OLD - days * DAY, name=f"of day {days}"))
        archived()

    address, shown_runs, pages = "", [], 0
    while address or not pages:
        page = browser.get(f"/archive{address}")
        shown_runs += [one.id for one in page.context["runs"]]
        address, pages = page.context["next"], pages + 1

    assert pages > 2
    assert sorted(shown_runs) == sorted(run.pk for run in runs)
    first = browser.get("/archive?q=day+3")
    assert first.context["runs"] == []
    assert "Only runs back to" in shown(first)
    assert "No run in the archive fits" not in shown(first)


def test_a_run_that_was_archived_again_is_seen_by_its_newest_version_alone():
    other, run = ended("FAILED", tags=["finance"]), ended("FAILED", tags=["finance"])
    write(places.place(), [run.pk, other.pk], now=NOON - DAY)
    FlowRun.objects.filter(pk=run.pk).update(tags=["board"], name="renamed", updated=NOON)
    archived()

    with seeing(NamedSight({"tag": {"finance"}}, reading=True)):
        for limit in (1, 2, 10):
            assert [one.id for one in archived_runs(Wanted(), limit=limit)] == [other.pk]
        assert archived_run(run.pk) is None
    assert {one.name for one in archived_runs(Wanted(), limit=10)} == {"renamed", other.name}


@pytest.mark.parametrize("asked", ["since=yesterday", "until=9999-12-31", "state=odd", "after=x", "flow=%27"])
def test_odd_questions_are_answered(browser: Client, asked: str):
    ended()
    archived()

    assert browser.get(f"/archive?{asked}").status_code == 200


def test_a_broken_archive_is_reported(browser: Client, archive: Path):
    ended()
    archived()
    places._places.clear()
    next(archive.rglob("manifest.json")).write_text("{")

    answer = browser.get("/archive")

    assert answer.status_code == 503
    assert "cannot be read" in shown(answer)


def test_a_user_with_rights_on_some_objects_sees_only_those():
    flow = make_flow("etl")
    deployment = Deployment.objects.create(name="daily", flow=flow)
    own = ended(flow=flow, deployment_id=deployment.pk)
    nested = make_flow_run("RUNNING", now=OLD, parent_task_run_id=make_task_run("RUNNING", flow_run=own, now=OLD).pk)
    propose_flow_run_state(run_id=nested.pk, proposed=make_state("COMPLETED"), now=OLD, force=True)
    other, tagged = ended(), ended(tags=["it's"])
    archived()

    def seen(**names: set[str]) -> set:
        with seeing(NamedSight({name.replace("_", "-"): one for name, one in names.items()}, reading=True)):
            found = {one.id for one in archived_runs(Wanted(), limit=10)}
            assert found == {one.pk for one in (own, nested, other, tagged) if archived_run(one.pk) is not None}
            return found

    assert seen(deployment={"etl/daily"}) == {own.pk, nested.pk}
    assert seen(tag={"it's"}) == {tagged.pk}
    assert seen(tag={"nothing"}) == set()
    assert seen(run={str(own.pk)}) == set()
    assert {one.id for one in archived_runs(Wanted(), limit=10)} == {own.pk, nested.pk, other.pk, tagged.pk}


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "unreadable"])
def test_the_admin_keeps_restored_runs_and_deletes_nothing_while_the_archive_is_unreadable(
    browser: Client, archive: Path, is_read: bool
):
    run, other = ended(), ended(at=NOON - 10 * DAY)
    archived()
    restore_run(run.pk, keep=3650 * DAY, now=NOON)
    if not is_read:
        (archive / "restored" / "odd.json").write_text("?")

    answer = browser.post("/admin/prune/", {"runs": "5", "confirmed": "yes"}, follow=True)

    assert FlowRun.objects.filter(pk=run.pk).exists()
    assert FlowRun.objects.filter(pk=other.pk).exists() is not is_read
    assert ("cannot be read" in answer.content.decode()) is not is_read


def test_an_invalid_day_is_quoted_and_not_put_into_the_field(browser: Client):
    page = shown(browser.get("/archive?since=yesterday&until=2026-01-31"))

    assert "&#x27;yesterday&#x27; is not a day; write 2026-01-31." in page
    assert 'name="since" value=""' in page
    assert 'name="until" value="2026-01-31"' in page
