"""Limits: who holds their slots since when, who waits, and what an operator can do."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.limits.services.global_limits import create_global_limit, take_slots
from deployments.limits.services.slot_leases import Taker
from deployments.models import ConcurrencyLimit, GlobalLimit, GlobalSlot, Slot
from tests.factories import make_limit
from tests.web.conftest import HOSTILE
from tests.web.rows import make_run, make_task_run


def make_global(name: str = "database", slots: int = 3, **columns) -> GlobalLimit:
    return create_global_limit(columns={"name": name, "limit": slots, **columns}, now=timezone.now())


def take(name: str, run=None) -> None:
    taker = Taker(lease=timedelta(minutes=5), flow_run_id=run.pk) if run else None
    take_slots(names=[name], slots=1, as_rate=False, now=timezone.now(), taker=taker)


def test_all_limits_are_listed_with_how_much_of_them_is_taken(browser: Client):
    make_limit("gpu", 2, taken_by=[make_task_run(state="RUNNING")])
    make_global()
    take("database")

    page = browser.get("/limits").content.decode()

    for text in ("gpu", "1 of 2", "database", "1 of 3"):
        assert text in page


def test_a_limit_on_a_tag_names_holders_and_waiters(browser: Client):
    holder = make_task_run("holder-0", state="RUNNING")
    waiter = make_task_run("waiter-0", state="PENDING", refusal=refused_for("gpu"))
    limit = make_limit("gpu", 1, taken_by=[holder])

    page = browser.get(f"/limits/tags/{limit.pk}").content.decode()

    assert f"/task-runs/{holder.pk}" in page
    assert f"/task-runs/{waiter.pk}" in page
    assert "<title>gpu · 1 of 1 · Orion</title>" in page


def refused_for(tag: str) -> dict[str, str]:
    return {"verdict": "WAIT", "proposed": "RUNNING", "reason": f"1 of 1 slots of tag '{tag}' are taken"}


def test_a_slot_is_released_and_a_limit_reset(browser: Client):
    holders = [make_task_run(f"holder-{place}", state="RUNNING") for place in range(3)]
    limit = make_limit("gpu", 3, taken_by=holders)

    browser.post(f"/limits/tags/{limit.pk}/release/{holders[0].pk}")
    left = Slot.objects.count()
    browser.post(f"/limits/tags/{limit.pk}/reset")

    assert (left, Slot.objects.count()) == (2, 0)


def test_limits_on_tags_are_made_changed_and_deleted(browser: Client):
    browser.post("/limits/tags/new", {"tag": "gpu", "slots": "2"})
    limit = ConcurrencyLimit.objects.get(tag="gpu")
    browser.post(f"/limits/tags/{limit.pk}/edit", {"slots": "5"})
    limit.refresh_from_db()
    changed = limit.concurrency_limit
    browser.post(f"/limits/tags/{limit.pk}/delete")

    assert changed == 5
    assert not ConcurrencyLimit.objects.exists()


def test_global_limits_are_made_changed_and_deleted(browser: Client):
    values = {"name": "database", "limit": "2", "slot_decay_per_second": "0", "active": "on"}
    browser.post("/limits/global/new", values)
    limit = GlobalLimit.objects.get(name="database")
    taken = browser.post("/limits/global/new", values)
    browser.post(f"/limits/global/{limit.pk}/edit", {**values, "limit": "7", "active": ""})
    limit.refresh_from_db()
    browser.post(f"/limits/global/{limit.pk}/delete")

    assert "database" in str(taken.context["form"].errors["name"])
    assert (limit.limit, limit.active) == (7, False)
    assert not GlobalLimit.objects.exists()


def test_a_global_limit_names_its_holders_and_counts_the_others(browser: Client):
    run = make_run("holder", state="RUNNING")
    limit = make_global()
    take("database", run)
    take("database")

    page = browser.get(f"/limits/global/{limit.pk}").content.decode()

    assert f"/runs/{run.pk}" in page
    assert "2 of 3" in page
    assert "1 slot taken by programs that did not say who they are" in page


def test_slots_of_a_global_limit_are_released_one_by_one_or_all(browser: Client, monkeypatch: pytest.MonkeyPatch):
    # Also those of holders that the page leaves out.
    monkeypatch.setattr("deployments.limits.selectors.holders.MOST_SHOWN", 1)
    limit = make_global(slots=4)
    for name in ("one", "two", "three"):
        take("database", make_run(name, state="RUNNING"))
    take("database")

    browser.post(f"/limits/global/{limit.pk}/release/{GlobalSlot.objects.first().pk}")
    left = GlobalSlot.objects.count()
    browser.post(f"/limits/global/{limit.pk}/reset")

    assert (left, GlobalSlot.objects.count()) == (2, 0)
    assert browser.get("/limits").context["found"].globals[0].meter.taken == 0


def test_the_form_of_a_slot_has_its_token(db: None):
    strict = Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True)
    limit, other = make_limit("gpu", 1, taken_by=[make_task_run(state="RUNNING")]), make_global()
    take("database", make_run("one", state="RUNNING"))

    for address in (f"/limits/tags/{limit.pk}", f"/limits/global/{other.pk}"):
        form = re.search(
            r'action="([^"]+/release/[^"]+)">(.*?)</form>', strict.get(address).content.decode(), re.DOTALL
        )
        assert form
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form[2])
        assert strict.post(form[1], {"csrfmiddlewaretoken": token[1] if token else ""}).status_code == 302

    assert (Slot.objects.count(), GlobalSlot.objects.count()) == (0, 0)


def test_a_new_limit_does_not_replace_that_of_its_tag(browser: Client):
    limit = make_limit("gpu", 3)

    answer = browser.post("/limits/tags/new", {"tag": " gpu ", "slots": "50"})

    limit.refresh_from_db()
    assert "The tag has a limit already" in answer.content.decode()
    assert limit.concurrency_limit == 3


def test_the_page_without_limits_explains_what_they_are_for(browser: Client):
    page = browser.get("/limits").content.decode()

    assert "No tag is limited" in page
    assert "No global limits" in page


@pytest.mark.parametrize("kind", ["tags", "global"])
def test_a_limit_that_is_not_there_is_not_found(browser: Client, kind: str):
    assert browser.get(f"/limits/{kind}/{uuid4()}").status_code == 404
    assert browser.post(f"/limits/{kind}/{uuid4()}/reset").status_code == 404


def test_pages_cost_few_queries_and_names_are_text(browser: Client, django_assert_max_num_queries):
    limit = make_limit(HOSTILE, 50, taken_by=[make_task_run(f"t{place}", state="RUNNING") for place in range(30)])
    for place in range(20):
        make_global(f"limit-{place}")

    with django_assert_max_num_queries(4):
        listed = browser.get("/limits").content.decode()
    with django_assert_max_num_queries(4):
        shown = browser.get(f"/limits/tags/{limit.pk}").content.decode()

    assert HOSTILE not in listed + shown
