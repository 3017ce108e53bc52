"""An object that is edited in two tabs: neither overwrites unseen what the other one changed."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from deployments.blocks.services.blocks import opened
from deployments.models import BlockDocument, Deployment, Schedule, Variable, WorkPool, WorkQueue
from deployments.upkeep.current_settings import current
from events.models import Automation, NotificationPolicy
from orion_site.accounts.models import Grant
from tests.factories import make_limit
from tests.web.deployments import NIGHTLY, make_deployment
from tests.web.test_automations_page import make_automation
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_calendars_page import make_calendar
from tests.web.test_limits_page import make_global

# The address of the form, a field of it with two other values, and the stored value.
Edited = tuple[str, str, tuple[str, str], Callable[[], Any]]


def column(model: Any, pk: Any, name: str) -> Callable[[], Any]:
    return lambda: model.objects.values_list(name, flat=True).get(pk=pk)


class Controls(HTMLParser):
    """The fields of the main form of a page with their values, as a browser would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, list[str]] = {}
        self._select = self._area = ""
        self._is_inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        name = own.get("name") or ""
        match tag:
            case "form":
                self._is_inside = "form" in (own.get("class") or "").split()
            case "input" if self._is_inside and own.get("type") in ("checkbox", "radio"):
                if "checked" in own:
                    self.sent.setdefault(name, []).append(own.get("value") or "on")
            case "input" if self._is_inside and own.get("type") != "file":
                self.sent[name] = [own.get("value") or ""]
            case "select":
                self._select = name
            case "option" if self._select and "selected" in own:
                self.sent.setdefault(self._select, []).append(own.get("value") or "")
            case "textarea" if self._is_inside:
                self._area = name
                self.sent[name] = [""]

    def handle_data(self, text: str) -> None:
        if self._area:
            self.sent[self._area][0] += text

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area:
            self.sent[self._area][0] = self.sent[self._area][0].removeprefix("\n")
            self._area = ""
        if tag == "select":
            self._select = ""
        if tag == "form":
            self._is_inside = False


def form_of(browser: Client, address: str) -> dict[str, list[str]]:
    controls = Controls()
    controls.feed(browser.get(address).content.decode())
    return controls.sent


def deployment() -> Edited:
    one = make_deployment("nightly")
    return (
        reverse("deployments:edit-deployment", args=[one.pk]),
        "description",
        ("one", "two"),
        column(Deployment, one.pk, "description"),
    )


def schedule() -> Edited:
    one = make_deployment("nightly", schedules=[NIGHTLY])
    plan = Schedule.objects.get(deployment=one)
    return (
        reverse("deployments:edit-schedule", args=[one.pk, plan.pk]),
        "cron",
        ("1 2 * * *", "3 4 * * *"),
        column(Schedule, plan.pk, "definition__cron"),
    )


def pool() -> Edited:
    make_deployment("nightly")
    pk = WorkPool.objects.get().pk
    return (
        reverse("deployments:edit-pool", args=[pk]),
        "description",
        ("one", "two"),
        column(WorkPool, pk, "description"),
    )


def queue() -> Edited:
    make_deployment("nightly")
    pk = WorkQueue.objects.values_list("pk", flat=True)[0]
    return (
        reverse("deployments:edit-queue", args=[pk]),
        "concurrency_limit",
        ("1", "2"),
        column(WorkQueue, pk, "concurrency_limit"),
    )


def variable() -> Edited:
    one = Variable.objects.create(name="colour", value="red")
    return (
        reverse("deployments:edit-variable", args=[one.pk]),
        "value",
        ("green", "blue"),
        column(Variable, one.pk, "value"),
    )


def tag_limit() -> Edited:
    one = make_limit("gpu", 5)
    return (
        reverse("deployments:edit-tag-limit", args=[one.pk]),
        "slots",
        ("1", "2"),
        column(type(one), one.pk, "concurrency_limit"),
    )


def global_limit() -> Edited:
    one = make_global("api")
    return (
        reverse("deployments:edit-global-limit", args=[one.pk]),
        "limit",
        ("1", "2"),
        column(type(one), one.pk, "limit"),
    )


def calendar() -> Edited:
    one = make_calendar("feasts")
    return (
        reverse("deployments:edit-calendar", args=[one.pk]),
        "description",
        ("one", "two"),
        column(type(one), one.pk, "description"),
    )


def automation() -> Edited:
    one = make_automation("watch")
    return (
        reverse("events:edit-automation", args=[one.pk]),
        "description",
        ("one", "two"),
        column(Automation, one.pk, "description"),
    )


def policy() -> Edited:
    schema = make_schema()
    schema.capabilities = ["notify"]
    schema.save()
    one = NotificationPolicy.objects.create(
        state_types=["FAILED"], state_names=[], tags=[], flow_names=[], block_document_id=make_block(schema).pk
    )
    return (
        reverse("events:policy", args=[one.pk]),
        "message_template",
        ("one", "two"),
        column(NotificationPolicy, one.pk, "message_template"),
    )


def block() -> Edited:
    one = make_block(make_schema())
    return (
        reverse("deployments:edit-block", args=[one.pk]),
        "p/user",
        ("bob", "eve"),
        column(BlockDocument, one.pk, "content__user"),
    )


def group() -> Edited:
    one = Group.objects.create(name="operators")
    stored = Grant.objects.filter(group=one).values_list("role", flat=True)
    return reverse("group", args=[one.pk]), "roles", ("viewer", "operator"), stored.all().get


def setting() -> Edited:
    name = "ORION_LATE_AFTER_SECONDS"
    return reverse("change-setting", args=[name]), "value", ("70", "80"), lambda: current(name)


KINDS = [
    deployment, schedule, pool, queue, variable, tag_limit, global_limit, calendar, automation, policy, block, group,
    setting,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_change_of_another_tab_is_shown_before_it_is_replaced(browser: Client, kind: Callable[[], Edited]):
    address, field, (early, late), stored = kind()
    tabs = [form_of(browser, address) for _ in range(2)]

    first = browser.post(address, {**tabs[0], field: early})
    saved = stored()
    refused = browser.post(address, {**tabs[1], field: late})
    kept = stored()
    shown = Controls()
    shown.feed(refused.content.decode())
    again = browser.post(address, shown.sent)

    assert first.status_code == 302
    assert str(saved) == early
    assert kept == saved
    assert "Meanwhile somebody changed" in refused.content.decode()
    assert shown.sent[field] == [late]
    assert again.status_code == 302
    assert str(stored()) == late


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_two_tabs_that_send_the_same_are_both_accepted(browser: Client, kind: Callable[[], Edited]):
    address, _, _, stored = kind()
    before = stored() if kind is not group else None
    tabs = [form_of(browser, address) for _ in range(2)]

    answers = [browser.post(address, tab) for tab in tabs]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert before == (stored() if kind is not group else None)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_two_tabs_that_make_the_same_change_are_both_accepted(browser: Client, kind: Callable[[], Edited]):
    address, field, (value, _), stored = kind()
    tabs = [form_of(browser, address) for _ in range(2)]

    answers = [browser.post(address, {**tab, field: value}) for tab in tabs]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert str(stored()) == value


def test_a_value_where_there_was_none_is_not_emptied_unseen(browser: Client):
    one = make_block(make_schema())
    address = reverse("deployments:edit-block", args=[one.pk])
    tab = form_of(browser, address)
    BlockDocument.objects.filter(pk=one.pk).update(content={**one.content, "options": {"ssl": True}})

    refused = browser.post(address, tab)

    one.refresh_from_db()
    assert "Meanwhile somebody changed options" in refused.content.decode()
    assert one.content["options"] == {"ssl": True}


@pytest.mark.parametrize("opened", ["", "?kind=interval"])
def test_times_of_another_kind_are_not_replaced_unseen(browser: Client, opened: str):
    address, _, _, _ = schedule()
    tab = {**form_of(browser, address + opened), **({"every": "5", "unit": "hours"} if opened else {})}
    browser.post(address, {**form_of(browser, address + "?kind=rrule"), "rrule": "FREQ=DAILY;BYHOUR=9"})
    stored = Schedule.objects.values_list("definition", flat=True)

    refused = browser.post(address, tab)
    kept = stored.get()
    shown = Controls()
    shown.feed(refused.content.decode())
    again = browser.post(address, shown.sent)

    assert refused.status_code == 422
    assert "Meanwhile somebody changed its times to “" in refused.content.decode()
    assert "to nothing" not in refused.content.decode()
    assert "rrule" in kept
    assert again.status_code == 302
    assert ("interval" if opened else "cron") in stored.get()


def test_a_schedule_that_got_the_kind_of_an_open_form_meanwhile_is_not_replaced_unseen(browser: Client):
    address, _, _, _ = schedule()
    tab = {**form_of(browser, address + "?kind=interval"), "every": "5", "unit": "hours"}
    browser.post(address, {**form_of(browser, address + "?kind=interval"), "every": "7", "unit": "hours"})

    refused = browser.post(address, tab)

    assert "Meanwhile somebody changed this to “7”" in refused.content.decode()
    assert Schedule.objects.get().definition["interval"] == 7 * 3600


def test_a_change_of_the_kind_alone_is_no_change_of_somebody_else(browser: Client):
    address, _, _, _ = schedule()

    answer = browser.post(
        address + "?kind=interval", {**form_of(browser, address + "?kind=interval"), "every": "5", "unit": "hours"}
    )

    assert answer.status_code == 302
    assert Schedule.objects.get().definition["interval"] == 5 * 3600


def test_a_new_secret_does_not_replace_another_new_one_unseen(browser: Client):
    one = make_block(make_schema())
    address = reverse("deployments:edit-block", args=[one.pk])
    tabs = [form_of(browser, address) for _ in range(3)]

    browser.post(address, {**tabs[0], "p/password": "first"})
    refused = browser.post(address, {**tabs[1], "p/password": "second"})
    one.refresh_from_db()
    kept = opened(one)["password"]
    unchanged = browser.post(address, tabs[2])
    again = browser.post(address, {**form_of(browser, address), "p/password": "second"})

    one.refresh_from_db()
    assert refused.status_code == 422
    assert "Meanwhile somebody saved this block, perhaps with another password" in refused.content.decode()
    assert kept == "first"
    assert [unchanged.status_code, again.status_code] == [302, 302]
    assert opened(one)["password"] == "second"


def test_a_field_that_another_kind_of_trigger_brought_is_not_emptied_unseen(browser: Client):
    one = make_automation("watch")
    address = reverse("events:edit-automation", args=[one.pk])
    tab = form_of(browser, address)
    silence = {**one.trigger, "posture": "Proactive", "threshold": 1, "after": ["b"]}
    Automation.objects.filter(pk=one.pk).update(trigger=silence)

    refused = browser.post(address, tab)

    assert "Meanwhile somebody changed this to “b”" in refused.content.decode()
    assert column(Automation, one.pk, "trigger")()["after"] == ["b"]


def test_what_a_form_does_not_show_is_no_change(browser: Client):
    one = make_block(make_schema(), extra=1)
    address = reverse("deployments:edit-block", args=[one.pk])
    tab = form_of(browser, address)
    BlockDocument.objects.filter(pk=one.pk).update(content={**one.content, "extra": 2})

    answer = browser.post(address, tab)

    one.refresh_from_db()
    assert answer.status_code == 302
    assert one.content["extra"] == 2


def test_stored_values_are_quoted_as_the_form_shows_them(browser: Client):
    one = make_deployment("nightly")
    address = reverse("deployments:edit-deployment", args=[one.pk])
    tab = form_of(browser, address)
    Deployment.objects.filter(pk=one.pk).update(overlap="queue", concurrency_limit=0, tags=["a", "b"])

    page = browser.post(address, tab).content.decode()

    for quoted in ("“A run waits for the one before”", "“0”", "“a, b”"):
        assert f"Meanwhile somebody changed this to {quoted};" in page


def test_digests_of_values_cannot_be_computed_without_the_key_of_the_server(browser: Client, settings: Any):
    one = Variable.objects.create(name="colour", value="red")
    address = reverse("deployments:edit-variable", args=[one.pk])

    first = form_of(browser, address)["shown_values"]
    settings.SECRET_KEY = "another key, for the same value"

    assert form_of(browser, address)["shown_values"] != first
