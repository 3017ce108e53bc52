"""Deleting what is old by hand, from the admin: counted first, bounded in time, logged."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from orchestration.database_clock import current_time
from orion_site.operators import pruning
from runs.models import FlowRun
from tests.web.rows import make_run, make_task_run

PRUNE = "/admin/prune/"


@pytest.fixture
def old_run(db: None) -> FlowRun:
    run = make_task_run(flow_run=make_run("old", at=current_time() - timedelta(days=40))).flow_run
    make_run("young", at=current_time())
    return run


def messages_of(answer: object) -> list[str]:
    return [str(message) for message in answer.wsgi_request._messages]  # type: ignore[attr-defined]


def test_it_counts_first_and_deletes_nothing(browser: Client, old_run: FlowRun):
    page = browser.post(PRUNE, {"runs": "30", "dry": "yes"}).content.decode()

    assert "<li>1 flow runs</li>" in page
    assert FlowRun.objects.count() == 2


def test_what_is_old_is_deleted_and_logged(browser: Client, old_run: FlowRun):
    answer = browser.post(PRUNE, {"runs": "30", "confirmed": "yes"})

    assert FlowRun.objects.values_list("name", flat=True).get() == "young"
    assert "1 flow runs" in messages_of(answer)[0]
    assert "runs over 30 days" in LogEntry.objects.get().get_change_message()
    assert browser.get("/admin/").status_code == 200


def test_when_the_time_is_up_the_rest_is_left(browser: Client, old_run: FlowRun, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pruning, "SECONDS", -1.0)

    answer = browser.post(PRUNE, {"runs": "30", "events": "1", "confirmed": "yes"})

    assert "Not everything was deleted" in messages_of(answer)[1]


@pytest.mark.parametrize("runs", ["", "0", "-1", "x", "9" * 30, "1e9", "<b>"])
def test_what_is_no_age_deletes_nothing(browser: Client, old_run: FlowRun, runs: str):
    answer = browser.post(PRUNE, {"runs": runs, "confirmed": "yes"})

    assert answer.status_code == 200
    assert FlowRun.objects.count() == 2


def test_the_page_begins_with_the_ages_of_retention_and_links_lead_there(browser: Client):
    page = browser.get(PRUNE).content.decode()

    assert 'value="90"' in page
    assert f'href="{PRUNE}"' in browser.get("/admin/").content.decode()


def test_another_site_cannot_delete(db: None, old_run: FlowRun):
    strict = Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True)

    assert strict.post(PRUNE, {"runs": "30", "confirmed": "yes"}).status_code == 403
    assert FlowRun.objects.count() == 2


def test_through_a_proxy_it_is_closed(browser: Client):
    answer = browser.get(PRUNE, headers={"host": "127.0.0.1:4200", "x-forwarded-for": "192.0.2.7"})

    assert answer.status_code == 401
