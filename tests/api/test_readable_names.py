"""Nothing new gets a name that people cannot read; `test_kept_names.py` is about existing objects."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from deployments.models import Deployment
from orionflow import contract as contracts
from runs.models import Flow
from tests.factories import make_flow

BAD = ["pay\u200broll", "pay\u202elor", "pay\u2066", "\x9bpay", "pay\u00adroll", " pay", "\u3164"]
NAMES = {"name", "tag", "slug"}
FREE = {
    "ConcurrencyLimitCreate": "the tag of runs, which is free text",
    "SavedSearchCreate": "made or found by name: the service refuses a new one",
    "WorkPoolCreate": "the service refuses it, and an empty name in the words of Prefect",
    "WorkQueueUpdate": "may keep its name: the service refuses another one",
    "GlobalLimitUpdate": "may keep its name: the service refuses another one",
    "CalendarUpdate": "may keep its name: the service refuses another one",
    "AutomationUpdate": "may keep its name: the service refuses another one",
    "FlowRunNotificationPolicyUpdate": "may keep its name: the service refuses another one",
    "FlowCreate": "made or found by name: the service refuses a new one",
    "DeploymentCreate": "made or found by name: the service refuses a new one",
    "FlowRunCreate": "free text",
    "DeploymentFlowRunCreate": "free text",
    "LogCreate": "the name of a logger",
    "TaskRunCreate": "free text",
    "StateCreate": "free text",
    "FlowRunUpdate": "free text",
    "TaskRunUpdate": "free text",
    "BlockTypeCreate": "made known by programs, under the name of a class",
}


def named_by_clients() -> Iterator[Any]:
    for module in pkgutil.iter_modules(contracts.__path__, contracts.__name__ + "."):
        for kind in vars(importlib.import_module(module.name)).values():
            is_model = isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.name
            if is_model and kind.__name__.endswith(("Create", "Update")) and kind.__name__ not in FREE:
                yield from (
                    pytest.param(kind, one, id=f"{kind.__name__}.{one}") for one in NAMES & kind.model_fields.keys()
                )


@pytest.mark.parametrize(("kind", "field"), [*named_by_clients()])
def test_a_name_that_a_client_chooses_is_readable(kind: type[BaseModel], field: str):
    for name in BAD:
        with pytest.raises(ValidationError) as refused:
            kind.model_validate({field: name})

        assert any(one["loc"] == (field,) and one["type"] != "missing" for one in refused.value.errors()), ascii(name)


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
