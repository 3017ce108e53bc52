"""The admin: every model is there, rules are the only writers, and its owner gets in from this machine alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from deployments.models import ConcurrencyLimit, Slot, WorkPool
from orion_site.accounts.local_owner import OWNER_NAME
from runs.models import TaskRun, TaskRunState
from tests.factories import make_task_run as made_by_the_rules
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, add_lines, make_flow, make_run, make_task_run

MODELS = [
    model
    for label in ("runs", "deployments", "events")
    for model in apps.get_app_config(label).get_models()
    # Django's admin does not support keys of two columns.
    if not model._meta.is_composite_pk
]
WRITTEN_BY_RULES = {"flowrun", "taskrun", "flowrunstate", "taskrunstate", "log", "artifact", "cacheentry", "slot"}


def address(model: Any, page: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{page}"


def test_the_index_lists_every_model(browser: Client):
    page = browser.get("/admin/").content.decode()

    assert [model for model in MODELS if f'href="{address(model)}"' not in page] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_every_list_opens_and_can_be_searched(browser: Client, model: Any):
    add_lines(make_task_run(tags=["x"]).flow_run, "line")

    opened = browser.get(address(model))
    searched = browser.get(address(model) + "?q=11111111-1111-1111-1111-111111111111")

    assert (opened.status_code, searched.status_code) == (200, 200)


def test_the_states_of_a_task_run_are_shown_with_it_where_they_have_no_rows(browser: Client):
    run = made_by_the_rules("PENDING", now=datetime.now(UTC))

    page = browser.get(address(TaskRun, f"{run.pk}/change/")).content.decode()

    assert not TaskRunState.objects.filter(task_run=run).exists()
    assert "Pending (2" in page


@pytest.mark.parametrize(
    "model", [m for m in MODELS if m._meta.model_name in WRITTEN_BY_RULES], ids=lambda m: m.__name__
)
def test_what_the_rules_write_can_only_be_read(browser: Client, model: Any):
    options = admin.site._registry[model]
    request = browser.get("/admin/").wsgi_request

    assert options.has_view_permission(request)
    assert not options.has_add_permission(request)
    assert not options.has_change_permission(request)
    assert not options.has_delete_permission(request)


def test_a_run_is_shown_and_a_change_of_it_is_refused(browser: Client):
    run = make_run("brave-otter", state="RUNNING")

    shown = browser.get(address(type(run), f"{run.pk}/change/"))
    changed = browser.post(address(type(run), f"{run.pk}/change/"), {"state_type": "COMPLETED"})

    assert "brave-otter" in shown.content.decode()
    assert changed.status_code == 403
    run.refresh_from_db()
    assert run.state_type == "RUNNING"


def test_a_change_writes_only_what_was_changed(browser: Client):
    limit = ConcurrencyLimit.objects.create(tag="gpu", concurrency_limit=1)

    answer = browser.post(address(ConcurrencyLimit, f"{limit.pk}/change/"), {"tag": "gpu", "concurrency_limit": "3"})

    limit.refresh_from_db()
    assert answer.status_code == 302
    assert limit.concurrency_limit == 3


@pytest.mark.parametrize("count", [3, 40])
def test_the_list_of_runs_costs_the_same_for_few_and_for_many(
    browser: Client, django_assert_max_num_queries, count: int
):
    for place in range(count):
        task = make_task_run(flow_run=make_run(f"run-{place}", flow=make_flow(f"flow-{place}")))
        Slot.objects.create(
            limit=ConcurrencyLimit.objects.create(tag=f"t{place}", concurrency_limit=1), task_run=task, taken_at=NOON
        )
    browser.get("/admin/")

    for model in MODELS:
        with django_assert_max_num_queries(5):
            browser.get(address(model))


def test_the_owner_is_a_user_without_a_password_made_once(browser: Client):
    browser.get("/admin/")
    browser.get("/admin/")

    (owner,) = User.objects.all()
    assert owner.username == OWNER_NAME
    assert owner.is_superuser
    assert not owner.has_usable_password()


@pytest.mark.parametrize(
    "headers",
    [{"x-forwarded-for": "192.0.2.7"}, {"forwarded": "for=192.0.2.7"}, {"host": "orion.example"}],
)
def test_who_comes_through_a_proxy_is_asked_to_sign_in(browser: Client, settings: Any, headers: dict[str, str]):
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "orion.example"]

    answer = browser.get("/admin/", headers={"host": "127.0.0.1:4200", **headers})

    assert answer.status_code == 401
    assert "orion user create" in answer.content.decode()


def test_the_sign_in_page_explains_how_to_reach_the_admin(browser: Client):
    through_proxy = {"host": "127.0.0.1:4200", "x-forwarded-for": "192.0.2.7"}

    closed = browser.get("/admin/login/", headers=through_proxy)
    User.objects.create_superuser("ada", password="a long enough one")
    asked = browser.get("/admin/login/", headers=through_proxy, follow=True)

    assert closed.status_code == 403
    assert "ssh -L" in closed.content.decode()
    assert "orion user create" in closed.content.decode()
    assert 'name="password"' in asked.content.decode()


def test_no_session_is_opened_for_the_owner(browser: Client):
    answer = browser.get("/admin/")

    assert "orion_session" not in answer.cookies


def test_names_of_others_are_text_and_not_markup(browser: Client):
    run = make_run(HOSTILE, state="FAILED", flow=make_flow(HOSTILE))

    pages = [
        browser.get(path).content.decode() for path in (address(type(run)), address(type(run), f"{run.pk}/change/"))
    ]

    assert all(HOSTILE not in page for page in pages)


@pytest.mark.parametrize("name", ["100 %", "a/b", "<b>"])
def test_a_name_that_addresses_cannot_carry_is_refused_in_words(browser: Client, name: str):
    answer = browser.post(address(WorkPool, "add/"), {"name": name, "type": "agent"})

    assert answer.status_code == 200
    assert "must not contain / % &amp; &gt; &lt; or control characters" in answer.content.decode()


def test_an_unreadable_name_is_refused_for_new_objects_and_kept_for_older_ones(browser: Client):
    pool = WorkPool.objects.create(name="old\u200bpool", type="agent")
    hidden = "new\u202epool"

    added = browser.post(address(WorkPool, "add/"), {"name": hidden, "type": "agent"})
    renamed = browser.post(address(WorkPool, f"{pool.pk}/change/"), {"name": hidden, "type": "agent"})
    page = browser.get(address(WorkPool, f"{pool.pk}/change/")).context["adminform"].form
    sent = {name: field.value() or "" for name, field in ((one.name, one) for one in page)}
    kept = browser.post(address(WorkPool, f"{pool.pk}/change/"), sent | {"description": "of old"})

    assert all("must not contain U+202E" in answer.content.decode() for answer in (added, renamed))
    assert kept.status_code == 302
    assert WorkPool.objects.get().description == "of old"
