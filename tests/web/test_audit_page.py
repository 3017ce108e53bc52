"""The page of the audit log: what was changed, found by its address, with and without scripts."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.models import Variable
from orion_site.accounts.permissions import Action, Actor
from orion_site.audit.models import Entry
from orion_site.audit.pages import operation_words
from tests.web.conftest import HOSTILE
from tests.web.deployments import make_deployment


def make_changes(browser: Client) -> Variable:
    browser.post("/variables/new", {"name": "region", "value": "eu", "tags": ""})
    made = Variable.objects.get()
    browser.post(f"/variables/{made.pk}", {"name": "region", "value": "us", "tags": ""})
    return made


def record(
    kind: str,
    *,
    operation: str = "Update",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
):
    now = timezone.now()
    changes = {"before": json.dumps(before) if before else "", "after": json.dumps(after) if after else ""}
    result = Entry.Result.REFUSED if reason else Entry.Result.DONE
    what = {
        "actor": "olga",
        "entrance": "api",
        "action": f"{kind}s.change",
        "operation": operation,
        "object_kind": kind,
    }
    Entry.objects.create(
        at=now,
        day=now.date(),
        number=1,
        object_id="1",
        result=result,
        reason=reason,
        previous="",
        hash="",
        **changes,
        **what,
    )


def test_a_change_is_shown_with_who_what_and_the_values(browser: Client):
    made = make_changes(browser)

    page = browser.get("/audit").content.decode()

    assert "<h1>Audit log</h1>" in page
    for text in ("local owner", "page, 127.0.0.1", "<del>eu</del>", "<ins>us</ins>", f'href="/variables/{made.pk}"'):
        assert text in page


def test_filters_stand_in_the_address(browser: Client):
    made = make_changes(browser)
    browser.post(f"/deployments/{make_deployment().pk}/pause")

    def shown(query: str) -> list[str]:
        return [line.entry.object_kind for line in browser.get(f"/audit?{query}").context["lines"]]

    assert shown("") == ["deployment", "variable", "variable"]
    assert shown(f"object=variable:{made.pk}") == shown(f"object={made.pk}") == ["variable", "variable"]
    assert shown("action=deployments.change") == shown("kind=deployment") == ["deployment"]
    assert shown("actor=somebody") == shown("entrance=cli") == shown("result=refused") == []
    assert shown("since=-1h&entrance=page") == ["deployment", "variable", "variable"]
    assert shown("until=-1h") == []


def test_the_page_of_an_object_leads_to_its_history(browser: Client):
    deployment = make_deployment()
    browser.post(f"/deployments/{deployment.pk}/pause")

    page = browser.get(f"/deployments/{deployment.pk}").content.decode()
    found = browser.get(f"/audit?object=deployment:{deployment.pk}").context["lines"]

    assert f'href="/audit?object=deployment%3A{deployment.pk}"' in page
    assert [line.entry.operation for line in found] == ["deployments:pause"]


def test_what_is_refused_is_shown_with_its_reason(browser: Client):
    make_changes(browser)
    browser.post("/variables/new", {"name": "region", "value": "eu", "tags": ""})

    page = browser.get("/audit?result=refused").content.decode()

    assert '<strong class="refused">Refused</strong>' in page
    assert "region" in page


def test_authors_are_shown_by_their_names(browser: Client):
    schedule = "schedule 019ac0de-0000-7000-8000-000000000001"
    olga = {"id": "00000000-0000-0000-0000-000000000007", "type": "USER", "display_value": "olga"}
    before = {"state": "SCHEDULED Late", "updated_by": None, schedule: {"active": True, "updated_by": None}}
    after = {"updated_by": olga, schedule: {"active": False, "updated_by": olga}}
    record("deployment", before=before, after=after)

    (line,) = browser.get("/audit").context["lines"]

    assert [(one.name, one.before, one.after) for one in line.fields] == [
        ("state", "Late", ""),
        ("updated_by", "", "olga"),
        ("schedule 019ac0de: active", "true", "false"),
        ("schedule 019ac0de: updated_by", "", "olga"),
    ]


def test_what_a_reason_names_in_backticks_is_code(browser: Client):
    record("flow", reason=f"`after` is not a place `{HOSTILE}` and `open")

    page = browser.get("/audit").content.decode()

    assert "<p><code>after</code> is not a place <code>&lt;script&gt;" in page
    assert "</code> and `open</p>" in page
    assert HOSTILE not in page


def test_a_page_has_fifty_entries_and_leads_to_the_next(browser: Client):
    for number in range(60):
        browser.post("/variables/new", {"name": f"v{number}", "value": "x", "tags": ""})

    first = browser.get("/audit?kind=variable&actor=local owner")
    second = browser.get("/audit" + first.context["next"])

    assert [len(one.context["lines"]) for one in (first, second)] == [50, 10]
    assert second.context["next"] == ""


def test_the_page_asks_little(browser: Client, django_assert_max_num_queries):
    for number in range(30):
        browser.post("/variables/new", {"name": f"v{number}", "value": "x", "tags": ""})

    with django_assert_max_num_queries(4):
        browser.get("/audit?kind=variable&actor=local owner&since=-7d")


def test_an_empty_log_teaches(browser: Client):
    assert "orion audit verify" in browser.get("/audit").content.decode()


def test_hostile_values_are_only_text(browser: Client):
    browser.post("/variables/new", {"name": "x", "value": HOSTILE, "tags": ""})

    page = browser.get("/audit", {"actor": HOSTILE, "object": HOSTILE, "since": HOSTILE, "after": HOSTILE})
    shown = browser.get("/audit").content.decode()

    assert HOSTILE not in page.content.decode()
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("deployments:pause", "Pause"),
        ("runs:set-state", "Set state"),
        ("UpdateDeployment", "Update deployment"),
        ("orion user create", "Orion user create"),
        ("admin:deployments_variable_add", "Deployments variable add"),
        ("admin:runs_flowrun_changelist cancel", "Runs flowrun changelist cancel"),
    ],
)
def test_operations_are_described_in_words(operation: str, words: str):
    assert operation_words(operation) == words


def test_what_a_bulk_action_changed_links_to_it(browser: Client):
    bulk = uuid4()
    record("flow-run", operation=f"bulk-action {bulk}")

    page = browser.get("/audit").content.decode()

    assert f'href="/bulk/{bulk}"' in page
    assert ">Bulk action</a>" in page
    assert "flow run</span>" in page


def test_who_may_not_read_it_sees_neither_page_nor_links(browser: Client, act_as):
    deployment = make_deployment()
    act_as(Actor("operator", frozenset(Action) - {Action.READ_AUDIT}))

    page = browser.get(f"/deployments/{deployment.pk}").content.decode()

    refused = browser.get("/audit")

    assert refused.status_code == 403
    assert "You are not allowed to do this." in refused.content.decode()
    assert "Whoever administers this server can give you a role for it." in refused.content.decode()
    assert "History of changes" not in page
    assert not Entry.objects.exists()


def test_the_admin_shows_entries_and_changes_none(browser: Client):
    make_changes(browser)
    entry = Entry.objects.order_by("id")[0]

    listed = browser.get("/admin/audit/entry/").content.decode()
    shown = browser.get(f"/admin/audit/entry/{entry.pk}/change/")
    changed = browser.post(f"/admin/audit/entry/{entry.pk}/change/", {"actor": "somebody else"})
    deleted = browser.post(f"/admin/audit/entry/{entry.pk}/delete/", {"post": "yes"})

    assert "local owner" in listed
    assert shown.status_code == 200
    assert (changed.status_code, deleted.status_code) == (403, 403)
    assert Entry.objects.get(pk=entry.pk).actor == "local owner"


def test_forms_of_the_admin_are_recorded_with_the_values(browser: Client):
    browser.post("/admin/deployments/variable/add/", {"name": "region", "value": "eu", "tags": "[]"})
    made = Variable.objects.get()
    browser.post(f"/admin/deployments/variable/{made.pk}/change/", {"name": "region", "value": "us", "tags": "[]"})
    browser.post(f"/admin/deployments/variable/{made.pk}/delete/", {"post": "yes"})

    found = Entry.objects.order_by("id").values_list("entrance", "operation", "before", "after")

    assert [one[:2] for one in found] == [
        ("admin", f"admin:deployments_variable_{what}") for what in ("add", "change", "delete")
    ]
    assert found[1][2:] == ('{"value": "eu"}', '{"value": "us"}')
