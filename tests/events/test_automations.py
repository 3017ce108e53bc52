"""Automations as the API keeps them: made, changed, found, and refused when they could not work."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import pytest

from tests.events.automations import NOTHING, make_deployment, trigger

pytestmark = pytest.mark.django_db


def test_an_automation_is_stored_and_read(api, make):
    stored = make(trigger(expect=["a.*"]), description="what for", owner_resource="prefect.deployment.1")

    read = api.read(f"/automations/{stored.json()['id']}")

    assert stored.status_code == 201, stored.content
    assert read.json() == stored.json()
    assert (read.json()["trigger"]["threshold"], read.json()["enabled"]) == (1, True)


def test_an_automation_is_changed_switched_and_deleted(api, make):
    path = f"/automations/{make().json()['id']}"
    body = {"name": "other", "trigger": trigger(threshold=3), "actions": []}

    answers = [
        api.call("PUT", path, body),
        api.call("PATCH", path, {"enabled": False}),
    ]
    changed = api.read(path).json()
    answers += [api.call("DELETE", path), api.call("DELETE", path)]

    assert [answer.status_code for answer in answers] == [204, 204, 204, 404]
    assert (changed["name"], changed["trigger"]["threshold"], changed["enabled"]) == ("other", 3, False)


def test_an_automation_that_is_off_stays_so_when_it_is_replaced(api, make):
    path = f"/automations/{make(enabled=False).json()['id']}"
    body = {"name": "other", "trigger": trigger(), "actions": []}

    api.call("PUT", path, body)
    answer = api.read(path).json()
    api.call("PUT", path, {**body, "enabled": True})

    assert (answer["name"], answer["enabled"]) == ("other", False)
    assert api.read(path).json()["enabled"]


def test_what_a_replacement_does_not_mention_stays_as_in_prefect(api, make):
    lists = {"actions_on_trigger": [NOTHING], "actions_on_resolve": [NOTHING]}
    optional = {"description": "why", "enabled": False, **lists}
    stored = make(**optional).json()
    path = f"/automations/{stored['id']}"
    body = {"name": "other", "trigger": trigger(threshold=3), "actions": []}

    answer = api.call("PUT", path, body)
    kept = api.read(path).json()
    api.call("PUT", path, {**body, "description": "", "actions_on_trigger": []})

    assert answer.status_code == 204
    assert (kept["name"], kept["actions"], kept["trigger"]["threshold"]) == ("other", [], 3)
    assert {name: kept[name] for name in optional} == {name: stored[name] for name in optional}
    assert [api.read(path).json()[name] for name in ("description", "actions_on_trigger")] == ["", []]
    assert len(api.read(path).json()["actions_on_resolve"]) == 1


def test_a_replacement_is_judged_with_the_actions_that_it_keeps(api, make):
    again = {"type": "run-deployment", "source": "inferred"}
    narrow = trigger(expect=["sensor.read"])
    path = f"/automations/{make(narrow, actions_on_trigger=[again]).json()['id']}"
    every = {"name": "n", "trigger": trigger(expect=["prefect.flow-run.Running"]), "actions": []}

    refused = api.call("PUT", path, every)
    accepted = api.call("PUT", path, {**every, "actions_on_trigger": []})
    missing = api.call("PUT", f"/automations/{uuid4()}", every)

    assert (refused.status_code, accepted.status_code, missing.status_code) == (422, 204, 404)
    assert "without end" in refused.json()["detail"]


def test_a_trigger_without_a_type_is_recognized_by_its_fields(api, make):
    event = {"posture": "Reactive", "expect": ["a.b"]}
    triggers = [event, {"triggers": [event, event], "require": "all"}, {"triggers": [event], "within": 60}]

    stored = [make(one).json()["trigger"] for one in triggers]

    assert [one["type"] for one in stored] == ["event", "compound", "sequence"]
    assert [one["type"] for one in stored[1]["triggers"]] == ["event", "event"]


def test_automations_are_listed_counted_and_found_by_what_they_belong_to(api, make):
    run = make_deployment()
    make(name="b", owner_resource="prefect.flow.1")
    make(None, {"type": "pause-deployment", "deployment_id": str(run.pk)}, name="a")
    by_name = {"automations": {"name": {"any_": ["a"]}}}

    assert [one["name"] for one in api.send("/automations/filter").json()] == ["a", "b"]
    assert [one["name"] for one in api.send("/automations/filter", {"sort": "NAME_DESC"}).json()] == ["b", "a"]
    assert [one["name"] for one in api.send("/automations/filter", by_name).json()] == ["a"]
    assert api.send("/automations/count").json() == 2
    assert [one["name"] for one in api.read(f"/automations/related-to/prefect.deployment.{run.pk}").json()] == ["a"]
    assert api.call("DELETE", "/automations/owned-by/prefect.flow.1").status_code == 202
    assert [one["name"] for one in api.send("/automations/filter").json()] == ["a"]


def test_the_automation_of_the_documentation_can_be_created(api):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text()

    answer = api.send("/automations/", re.search(r"```json\n(.*?)```", page, re.DOTALL)[1].encode())

    assert answer.status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"trigger": {"type": "event", "posture": "Metric"}},
        {"trigger": {"type": "event", "posture": "Proactive", "within": 3}},
        {"trigger": {"type": "compound", "triggers": [trigger()], "require": 2}},
        {"trigger": {"type": "other"}},
        {"actions": [{"type": "pause-deployment"}]},
        {"actions": [{"type": "pause-deployment", "deployment_id": str(uuid4())}]},
        {"actions": [{"type": "pause-deployment", "source": "inferred", "deployment_id": str(uuid4())}]},
        {"actions": [{"type": "run-deployment", "source": "inferred", "parameters": {"a": ["{{ b() }}"]}}]},
        {"actions": [{"type": "send-notification", "block_document_id": str(uuid4()), "body": "{{ a + b }}"}]},
        {"colour": "red"},
    ],
)
def test_an_automation_that_could_not_work_is_refused(make, wrong):
    assert make(**wrong).status_code == 422


@pytest.mark.parametrize("kind", ["send-notification", "call-webhook"])
@pytest.mark.parametrize("group", ["actions", "actions_on_trigger", "actions_on_resolve"])
def test_an_action_through_a_block_that_does_not_exist_is_refused_at_its_place(api, make, kind, group):
    block_id = str(uuid4())
    action = {"type": kind, "block_document_id": block_id, "body": "hello"}

    refused = make(**{group: [NOTHING, action]})

    (found,) = refused.json()["exception_detail"]
    assert refused.status_code == 422
    assert found["loc"] == ["body", group, 1, "block_document_id"]
    assert block_id in refused.json()["detail"]
    assert refused.json()["detail"].startswith(f"{group}.1.block_document_id: ")
    assert api.send("/automations/count").json() == 0


@pytest.mark.parametrize(
    ("text", "status"), [("{{ flow_run.name|upper }}", 204), ("a\n{{ b|c }}", 422), ("{% x %}", 422)]
)
def test_texts_are_checked(api, text, status):
    answer = api.send("/templates/validate", text)

    assert answer.status_code == status
    if status == 422:
        assert answer.json()["error"]["source"] == text
