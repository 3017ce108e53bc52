"""Every field of a deployment is carried by whatever hands deployments on, or named here with the reason."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from orionflow.calls import Collection
from orionflow.calls.deployments import DEPLOYMENTS
from orionflow.cli.columns import columns_for
from orionflow.cli.deploy.apply import body_of
from orionflow.cli.deploy.orion_yaml import plain_options
from orionflow.cli.deployment import resource
from orionflow.cli.importing.reading import READERS, World
from orionflow.cli.times import Clock
from orionflow.contract.deployments import FIELDS, Deployment, DeploymentFields
from orionflow.contract.schedules import DeploymentSchedule, ScheduleCreate
from orionflow.contract.wire import own_fields
from orionflow.deployments import Deployment as DeploymentOfAFlow
from orionflow.deployments import Schedule
from orionflow.deployments.definition import DeploymentOptions

BLOCKS = {
    "storage_document_id": "blocks of agents of Prefect 2's first make; programs here name a storage",
    "infrastructure_document_id": "blocks of agents of Prefect 2's first make; programs here name job variables",
}
NOT_IN_PROGRAMS = {**BLOCKS, "manifest_path": "the mark of a file's project, which `orion deploy` writes itself"}
NOT_AN_OPTION = {
    **NOT_IN_PROGRAMS,
    "parameter_openapi_schema": "read from the flow's signature",
    "path": "the working directory, or the `storage` option",
    "pull_steps": "the `storage` option",
}
NOT_PLAIN_IN_FILES = {
    **NOT_AN_OPTION,
    "entrypoint": "says which flow the file means",
    "schedules": "written in a form for people",
}
NOT_SHOWN = {**BLOCKS, "manifest_path": "means something to `orion deploy --prune` alone"}


def test_stored_values_can_be_read_back():
    assert set(FIELDS) - Deployment.model_fields.keys() == set()
    assert ScheduleCreate.model_fields.keys() - DeploymentSchedule.model_fields.keys() == set()


def test_a_deployment_of_a_program_has_every_field():
    assert set(FIELDS) - {one.name for one in fields(DeploymentOfAFlow)} == NOT_IN_PROGRAMS.keys()
    assert set(FIELDS) - DeploymentOptions.__annotations__.keys() == NOT_AN_OPTION.keys()


def test_deploying_sends_every_field_and_reads_it_from_files():
    deployment = DeploymentOfAFlow(name="prod", flow_name="etl", entrypoint="flows.py:etl", work_pool_name="pool")
    deployment.work_queue_name = "queue"

    assert set(FIELDS) - body_of(deployment, "orion.yaml:shop").keys() == BLOCKS.keys()
    assert set(FIELDS) - plain_options() == NOT_PLAIN_IN_FILES.keys()


def test_a_schedule_of_a_program_has_every_field():
    other_names = {"ends": "ends_at"}
    written = {other_names.get(one.name, one.name) for one in fields(Schedule)} - {"timezone"}

    # The definition belongs to each kind of schedule; how far to plan ahead and `catchup` are Prefect's.
    assert ScheduleCreate.model_fields.keys() - written == {"schedule", "catchup", "max_scheduled_runs"}


class OneDeployment:
    """An API that knows one deployment and returns every field of it."""

    def __init__(self, expected: dict[str, Any]) -> None:
        self.stored = expected

    def pages(self, things: Collection[Any], body: Any, most: int) -> list[dict[str, Any]]:
        assert things is DEPLOYMENTS
        return [self.stored]


FLOW, BLOCK = str(UUID(int=1)), str(UUID(int=2))


def test_importing_copies_every_field():
    schedule = {name: f"its {name}" for name in ScheduleCreate.model_fields}
    given = {**{name: f"its {name}" for name in FIELDS}, "id": str(UUID(int=3)), "name": "prod", "flow_id": FLOW}
    given |= {"schedules": [schedule], "job_variables": {"image": "x"}, **dict.fromkeys(BLOCKS, BLOCK)}
    world = World(OneDeployment(given), {"flow": {}, "block": {}}, {FLOW: "etl", BLOCK: "docker/big"})  # type: ignore[arg-type]

    (thing,) = READERS["deployment"](world)

    assert {name.removesuffix("_id") for name in FIELDS} - thing.body.keys() == set()
    assert {name: thing.body[name] for name in FIELDS if name not in BLOCKS} == {
        name: given[name] for name in FIELDS if name not in BLOCKS
    }
    assert (thing.body["storage_document"], thing.body["infrastructure_document"]) == ("docker/big", "docker/big")


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Watched(dict[str, Any]):
    """A deployment that remembers which of its fields were looked at."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.seen.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.seen.add(name)
        return super().get(name, default)


def test_inspecting_shows_every_field(monkeypatch: pytest.MonkeyPatch):
    given = {one.serialization_alias or name: None for name, one in Deployment.model_fields.items()}
    given |= {"id": "id", "tags": [], "schedules": [], "paused": False, "updated": "2030-01-01T00:00:00+00:00"}
    deployment = Watched(given, parameter_openapi_schema={"properties": {"day": {"type": "string"}}})

    monkeypatch.setattr(resource, "full_name", lambda api, found: "etl/prod")
    session: Any = SimpleNamespace(api=None, clock=Clock(NOON, UTC))

    columns = columns_for(session.clock, resource._fields(session, deployment))
    shown = [column.text(deployment) for column in columns]

    assert len(shown) > len(own_fields(Deployment))
    assert set(FIELDS) - deployment.seen == NOT_SHOWN.keys()


def test_no_field_is_named_that_does_not_exist():
    assert {*NOT_PLAIN_IN_FILES, *NOT_SHOWN} <= DeploymentFields.model_fields.keys()
