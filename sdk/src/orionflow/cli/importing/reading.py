"""The objects of a server in a form that another server understands: with names in place of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orionflow.calls import Collection
from orionflow.calls.blocks import BLOCK_SCHEMAS, BLOCK_TYPES, BLOCKS
from orionflow.calls.deployments import DEPLOYMENTS
from orionflow.calls.flows import FLOWS
from orionflow.calls.server import read_services
from orionflow.calls.slots import GLOBAL_LIMITS, TAG_LIMITS
from orionflow.calls.variables import VARIABLES
from orionflow.calls.work import WORK_POOLS, queues_of
from orionflow.cli.backend import Backend
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.contract.deployments import FIELDS
from orionflow.contract.schedules import ScheduleCreate
from orionflow.errors import NotFound

Json = dict[str, Any]
# Objects of one kind; a server that lists more probably repeats its first page.
MOST = 100_000
CHECK = "see what answers at --url"
# Fields of deployments, which contain the ids of their blocks.
BLOCK_FIELDS = {"storage_document": "storage_document_id", "infrastructure_document": "infrastructure_document_id"}
OF_TYPES = ("name", "logo_url", "documentation_url", "description", "code_example")
OF_POOLS = ("type", "description", "base_job_template", "is_paused", "concurrency_limit")


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a server: its name, and the body by which a client would create it."""

    kind: str
    name: str
    body: Json
    id: str


@dataclass
class World:
    """All objects of a server of the copied kinds, by kind and name; each kind is read when it is needed."""

    api: Backend
    _things: dict[str, dict[str, Thing]] = field(default_factory=dict)
    # Names by ids, for types, schemas and documents of blocks, and for flows.
    names: dict[str, str] = field(default_factory=dict)

    @cached_property
    def is_prefect(self) -> bool:
        """Whether the server is one of Prefect."""
        try:
            self.api.ask(read_services())
        except NotFound:
            return True
        return False

    def of(self, kind: str) -> Mapping[str, Thing]:
        if kind not in self._things:
            self._things[kind] = {}
            try:
                for thing in READERS[kind](self):
                    self.add(thing)
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                why = "an answer is not that of a server of Prefect 2"
                what = f"The {kind}s of a server cannot be read."
                raise CommandFailed(ExitCode.VERSIONS_DIFFER, what, why, CHECK) from error
        return self._things[kind]

    def add(self, thing: Thing) -> None:
        self._things.setdefault(thing.kind, {})[thing.name] = thing
        self.names[thing.id] = thing.name

    def id_of(self, kind: str, name: str) -> str:
        return self.of(kind)[name].id

    def pages(self, things: Collection[Any], body: Json | None = None) -> Iterator[Json]:
        for number, one in enumerate(self.api.pages(things, body or {}, MOST + 1)):
            if number == MOST:
                raise CommandFailed(ExitCode.FAILED, f"{things.path}/filter lists more than {MOST} things.", fix=CHECK)
            yield one


def picked(one: Json, *names: str) -> Json:
    """Return these fields, without those that are None."""
    return {name: one[name] for name in names if one.get(name) is not None}


Reader = Callable[[World], Iterator[Thing]]


def _plain(kind: str, things: Collection[Any], *fields: str, key: str = "name") -> Reader:
    """Return a reader for objects whose fields do not refer to others."""

    def read(world: World) -> Iterator[Thing]:
        for one in world.pages(things):
            yield Thing(kind, one[key], picked(one, *fields), one["id"])

    return read


def _block_schemas(world: World) -> Iterator[Thing]:
    world.of("block type")
    for one in world.pages(BLOCK_SCHEMAS):
        owner = world.names[one["block_type_id"]]
        body = {"block_type": owner, **picked(one, "fields", "capabilities", "version")}
        # The start of a checksum distinguishes schemas, and is readable.
        name = f"{owner} {one['checksum'][:19]} {one['version']}"
        yield Thing("block schema", name, body, one["id"])


def _blocks(world: World) -> Iterator[Thing]:
    world.of("block schema")
    found = [
        one
        for anonymous in (False, True)
        for one in world.pages(
            BLOCKS,
            {"include_secrets": True, "block_documents": {"is_anonymous": {"eq_": anonymous}}},
        )
    ]
    names = {one["id"]: f"{world.names[one['block_type_id']]}/{one['name']}" for one in found}
    for one in found:
        body = {
            "name": one["name"],
            "block_schema": world.names[one["block_schema_id"]],
            "data": {**(one["data"] or {}), **_references(one, names)},
            "is_anonymous": one["is_anonymous"],
        }
        yield Thing("block", names[one["id"]], body, one["id"])


def _references(document: Json, names: Mapping[str, str]) -> Json:
    """Return the fields that contain other blocks, with the names of these in place of their content."""
    references = document.get("block_document_references") or {}
    return {field: {"$ref": names[other["block_document"]["id"]]} for field, other in references.items()}


def _queues(world: World) -> Iterator[Thing]:
    for pool in world.of("work pool"):
        for one in world.pages(queues_of(pool)):
            body = picked(one, "name", "description", "is_paused", "concurrency_limit", "priority")
            yield Thing("work queue", f"{pool}/{one['name']}", {"pool": pool, **body}, one["id"])


def _deployments(world: World) -> Iterator[Thing]:
    world.of("flow")
    world.of("block")
    for one in world.pages(DEPLOYMENTS):
        flow = world.names[one["flow_id"]]
        variables = one.get("job_variables") or one.get("infra_overrides") or {}
        body = {
            "flow": flow,
            "name": one["name"],
            **picked(one, *(name for name in FIELDS if name not in BLOCK_FIELDS.values())),
            "job_variables": variables,
            "schedules": [picked(schedule, *ScheduleCreate.model_fields) for schedule in one.get("schedules") or ()],
            **_documents(one, world),
        }
        yield Thing("deployment", f"{flow}/{one['name']}", body, one["id"])


def _documents(deployment: Json, world: World) -> Json:
    """Return the blocks of a deployment. Deleted blocks are left out: they would not work on the old server either."""
    named = {ours: world.names.get(deployment.get(theirs) or "") for ours, theirs in BLOCK_FIELDS.items()}
    return {ours: name for ours, name in named.items() if name}


# Ordered so that each kind comes after those that it refers to.
READERS: dict[str, Reader] = {
    "variable": _plain("variable", VARIABLES, "value", "tags"),
    "tag limit": _plain("tag limit", TAG_LIMITS, "concurrency_limit", key="tag"),
    "global limit": _plain("global limit", GLOBAL_LIMITS, "limit", "active", "slot_decay_per_second"),
    "block type": _plain("block type", BLOCK_TYPES, *OF_TYPES, key="slug"),
    "block schema": _block_schemas,
    "block": _blocks,
    "work pool": _plain("work pool", WORK_POOLS, *OF_POOLS),
    "work queue": _queues,
    "flow": _plain("flow", FLOWS, "tags"),
    "deployment": _deployments,
}
