"""From a page of the dashboard to its row in the admin, for whoever may open that."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from deployments.models import ConcurrencyLimit, GlobalLimit, Worker, WorkPool, WorkQueue
from events.models import Automation
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import LOCAL_OWNER, Action, Actor
from runs.models import Artifact
from tests.web.deployments import make_deployment
from tests.web.rows import make_run, make_task_run
from tests.web.test_admin import address

PAGES = {
    "run": lambda: ("/runs/{}", make_run()),
    "task run": lambda: ("/task-runs/{}", make_task_run()),
    "flow": lambda: ("/flows/{}", make_run().flow),
    "artifact": lambda: ("/artifacts/{}", Artifact.objects.create(key="x")),
    "deployment": lambda: ("/deployments/{}", make_deployment()),
    "queue": lambda: ("/work/queues/{}", WorkQueue.objects.get(pk=make_deployment().work_queue_id)),
    "agent": lambda: ("/agents/{}", Worker.objects.create(name="w", work_pool=WorkPool.objects.create(name="p"))),
    "tag limit": lambda: ("/limits/tags/{}", ConcurrencyLimit.objects.create(tag="x", concurrency_limit=1)),
    "global limit": lambda: ("/limits/global/{}", GlobalLimit.objects.create(name="x", limit=1)),
    "automation": lambda: (
        "/automations/{}",
        Automation.objects.create(
            name="x",
            since=current_time(),
            trigger={
                **{"type": "event", "posture": "Reactive", "expect": ["a"], "threshold": 1, "within": 0},
                **{"match": {}, "match_related": {}, "after": [], "for_each": []},
            },
        ),
    ),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_leads_to_its_row(browser: Client, page):
    path, row = page()

    shown = browser.get(path.format(row.pk)).content.decode()
    there = address(type(row), f"{row.pk}/change/")

    assert f'<a class="in-admin" href="{there}">In the admin</a>' in shown
    assert browser.get(there).status_code == 200


def test_through_a_proxy_only_staff_is_led_there(browser: Client):
    run = make_run()
    through_proxy = {"host": "127.0.0.1:4200", "x-forwarded-for": "192.0.2.7"}

    before = browser.get(f"/runs/{run.pk}", headers=through_proxy)
    browser.force_login(User.objects.create_superuser("ada"))
    after = browser.get(f"/runs/{run.pk}", headers=through_proxy).content.decode()

    assert before.status_code == 401
    assert "In the admin" in after


def test_who_may_not_operate_is_not_led_there(browser: Client, monkeypatch: pytest.MonkeyPatch):
    run = make_run()
    reader = Actor("reader", LOCAL_OWNER.actions - {Action.OPERATE})
    monkeypatch.setattr("orion_site.operators.tags.actor_of", lambda request: reader)

    assert "In the admin" not in browser.get(f"/runs/{run.pk}").content.decode()
