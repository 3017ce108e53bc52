"""Nothing new gets a name that people cannot read; `test_kept_names.py` is about existing objects."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from pydantic import BaseModel

from deployments.models import Deployment
from orionflow import contract as contracts
from runs.models import Flow
from tests.api.blocks import login_schema, make_document
from tests.api.conftest import Api
from tests.api.test_kept_names import AUTOMATION, ICS
from tests.factories import make_flow

BAD = ["pay\u200broll", "pay\u202elor", "pay\u2066", "\x9bpay", "pay\u00adroll", " pay", "\u3164"]
NAMES = {"name", "tag", "slug"}
SEARCH = {"filters": []}
BACKFILL = {
    "start": "2026-01-01T00:00:00",
    "end": "2026-01-03T00:00:00",
    "schedule": {"cron": "0 6 * * *"},
}
POLICY = {"state_names": ["Failed"], "tags": []}
# How a client creates each kind of object that gets a name: the method, the path and the other fields.
NAMED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "WorkPoolCreate": ("POST", "/work_pools/", {}),
    "WorkQueueCreate": ("POST", "/work_queues/", {}),
    "GlobalLimitCreate": ("POST", "/v2/concurrency_limits/", {"limit": 1}),
    "CalendarCreate": ("POST", "/calendars/", {"ics": ICS}),
    "BackfillCreate": ("POST", "/backfills/", BACKFILL),
    "AutomationCreate": ("POST", "/automations/", AUTOMATION),
    "FlowRunNotificationPolicyCreate": ("POST", "/flow_run_notification_policies/", POLICY),
    "SavedSearchCreate": ("PUT", "/saved_searches/", SEARCH),
    "FlowCreate": ("POST", "/flows/", {}),
    "DeploymentCreate": ("POST", "/deployments/", {}),
}
FREE = {
    "ConcurrencyLimitCreate": "the tag of runs, which is free text",
    "FlowRunCreate": "free text",
    "DeploymentFlowRunCreate": "free text",
    "LogCreate": "the name of a logger",
    "TaskRunCreate": "free text",
    "StateCreate": "free text",
    "BlockTypeCreate": "given by programs, as in the next table",
    "BlockDocumentCreate": "only letters, digits and dashes",
    "VariableCreate": "only letters, digits and underscores",
}


# What programs name by themselves. Spaces pass; whatever misleads does not.
GIVEN: dict[str, tuple[str, dict[str, Any]]] = {
    "flow": ("/flows/", {}),
    "block type": ("/block_types/", {"slug": "pay"}),
    "agent": ("/agents/", {"incarnation": "00000000-0000-4000-8000-000000000000", "concurrency": 1}),
    "worker": ("/work_pools/default-agent-pool/workers/heartbeat", {}),
}


def named_by_clients() -> set[str]:
    """The requests that create an object under a name."""
    kinds = (
        kind
        for module in pkgutil.iter_modules(contracts.__path__, contracts.__name__ + ".")
        for kind in vars(importlib.import_module(module.name)).values()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.name
    )
    return {kind.__name__ for kind in kinds if kind.__name__.endswith("Create") and NAMES & kind.model_fields.keys()}


def test_each_name_that_a_client_chooses_is_in_one_of_these_tables():
    assert named_by_clients() == NAMED.keys() | FREE.keys()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", NAMED)
def test_a_name_that_a_client_chooses_is_readable(api: Api, kind: str):
    method, path, fields = NAMED[kind]
    flow_id = str(make_flow("pay").pk)
    if kind == "DeploymentCreate":
        fields = {"flow_id": flow_id}
    if kind == "BackfillCreate":
        fields = {**fields, "deployment_id": api.send("/deployments/", {"name": "x", "flow_id": flow_id}).json()["id"]}
    if kind == "FlowRunNotificationPolicyCreate":
        fields = {**fields, "block_document_id": make_document(api, login_schema(api)).json()["id"]}
    # A flow is made by its first run, so odd spaces in its name fail nothing.
    bad = [name for name in BAD if kind != "FlowCreate" or name.strip() == name]

    refused = {name: api.call(method, path, {**fields, "name": name}) for name in bad}
    accepted = api.call(method, path, {**fields, "name": "pay"})

    for name, answer in refused.items():
        assert answer.status_code == 422, ascii(name)
        assert "name must not" in answer.content.decode(), ascii(name)
    assert accepted.status_code in {200, 201}, accepted.content


@pytest.mark.django_db
@pytest.mark.parametrize("kind", GIVEN)
def test_a_name_that_a_program_gives_does_not_mislead(api: Api, kind: str):
    path, fields = GIVEN[kind]
    bad = [name for name in BAD if name.strip() == name]

    refused = {name: api.send(path, {**fields, "name": name}) for name in bad}
    accepted = api.send(path, {**fields, "name": "pay\u00a0roll"})

    for name, answer in refused.items():
        assert answer.status_code == 422, ascii(name)
        assert "U+" in answer.json()["detail"], ascii(name)
    assert accepted.status_code in {200, 201, 204}, accepted.content


@pytest.mark.django_db
@pytest.mark.undivided
def test_the_answer_names_the_character(api):
    answer = api.send("/work_queues/", {"name": "pay\u200broll"})

    assert answer.status_code == 422
    assert "U+200B ZERO WIDTH SPACE" in answer.content.decode()
    assert api.send("/work_queues/", {"name": "गणना क्\u200dष 👩\u200d💻"}).status_code == 201


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD[:5] + BAD[6:], ids=ascii)
def test_flows_and_deployments_are_found_by_such_a_name_but_not_made(api, name: str):
    known = make_flow("pay")
    Flow.objects.filter(pk=known.pk).update(name=name)
    made = api.send("/deployments/", {"name": "pay", "flow_id": str(known.pk)}).json()
    Deployment.objects.filter(pk=made["id"]).update(name=name)

    found = [
        api.send("/flows/", {"name": name}),
        api.send("/deployments/", {"name": name, "flow_id": str(known.pk)}),
    ]
    refused = [
        api.send("/flows/", {"name": name + "2"}),
        api.send("/deployments/", {"name": name + "2", "flow_id": str(known.pk)}),
    ]

    assert [answer.status_code for answer in found] == [200, 200]
    assert [answer.status_code for answer in refused] == [422, 422]
    assert all("U+" in answer.content.decode() for answer in refused)


@pytest.mark.django_db
def test_a_queue_that_a_deployment_names_is_new_only_with_a_readable_name(api):
    flow_id = str(make_flow("pay").pk)

    refused = api.send("/deployments/", {"name": "pay", "flow_id": flow_id, "work_queue_name": BAD[0]})

    assert refused.status_code == 422
    assert "U+200B" in refused.content.decode()
    assert not Deployment.objects.exists()
