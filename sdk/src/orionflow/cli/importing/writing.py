"""Creation or update of one object on the target server; names become the ids of that server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orionflow.calls import Collection
from orionflow.calls.blocks import BLOCK_SCHEMAS, BLOCK_TYPES, BLOCKS
from orionflow.calls.deployments import DEPLOYMENTS
from orionflow.calls.flows import FLOWS
from orionflow.calls.slots import GLOBAL_LIMITS, TAG_LIMITS
from orionflow.calls.variables import VARIABLES
from orionflow.calls.work import WORK_POOLS, queues_of
from orionflow.cli.importing.reading import Json, Thing, World


def write(target: World, wanted: Thing, stored: Thing | None) -> None:
    """Write `wanted` to the target, which has `stored` under the same name."""
    id = WRITERS[wanted.kind](target, wanted, stored)
    target.add(Thing(wanted.kind, wanted.name, wanted.body, id))


Writer = Callable[[World, Thing, Thing | None], str]


def _plain(things: Collection[Any], name: str = "name", *, fixed: Sequence[str] = ()) -> Writer:
    """Return a writer for objects whose bodies do not refer to others; `fixed` fields cannot be changed later."""

    def write(target: World, wanted: Thing, stored: Thing | None) -> str:
        if stored is None:
            return _made(target, things, {name: wanted.name, **wanted.body})
        key = stored.id if things.key == "id" else wanted.name
        return _changed(target, things, key, _without(wanted.body, *fixed), stored)

    return write


def _tag_limit(target: World, wanted: Thing, stored: Thing | None) -> str:
    # Creating a limit for a tag changes an existing one.
    return _made(target, TAG_LIMITS, {"tag": wanted.name, **wanted.body})


def _block_schema(target: World, wanted: Thing, stored: Thing | None) -> str:
    of_type = target.id_of("block type", wanted.body["block_type"])
    return _made(target, BLOCK_SCHEMAS, {**_without(wanted.body, "block_type"), "block_type_id": of_type})


def _block(target: World, wanted: Thing, stored: Thing | None) -> str:
    body = wanted.body
    data = {name: _referred(target, value) for name, value in body["data"].items()}
    schema = target.id_of("block schema", body["block_schema"])
    if stored is not None:
        changes = {"data": data, "block_schema_id": schema, "merge_existing_data": False}
        return _changed(target, BLOCKS, stored.id, changes, stored)
    of_type = target.id_of("block type", wanted.name.partition("/")[0])
    ids = {"block_schema_id": schema, "block_type_id": of_type}
    return _made(target, BLOCKS, {**_without(body, "block_schema"), "data": data, **ids})


def _referred(target: World, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"$ref"}:
        return {"$ref": {"block_document_id": target.id_of("block", value["$ref"])}}
    return value


def _queue(target: World, wanted: Thing, stored: Thing | None) -> str:
    queues, body = queues_of(wanted.body["pool"]), _without(wanted.body, "pool")
    # A pool is created with its default queue, after the target's queues were read.
    known = stored or next(
        (
            Thing("work queue", body["name"], {}, one["id"])
            for one in target.pages(queues)
            if one["name"] == body["name"]
        ),
        None,
    )
    if known is None:
        return _made(target, queues, body)
    return _changed(target, queues, body["name"], _without(body, "name"), known)


def _deployment(target: World, wanted: Thing, stored: Thing | None) -> str:
    body = _without(wanted.body, "flow", "storage_document", "infrastructure_document")
    ids = {"flow_id": target.id_of("flow", wanted.body["flow"])}
    for kind in ("storage_document", "infrastructure_document"):
        if name := wanted.body.get(kind):
            ids[f"{kind}_id"] = target.id_of("block", name)
    return _made(target, DEPLOYMENTS, {**body, **ids})


def _made(target: World, things: Collection[Any], body: Json) -> str:
    id: str = target.api.ask(things.create(body))["id"]
    return id


def _changed(target: World, things: Collection[Any], key: str, body: Json, stored: Thing) -> str:
    target.api.ask(things.update(key, body))
    return stored.id


def _without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


WRITERS: dict[str, Writer] = {
    "variable": _plain(VARIABLES),
    "tag limit": _tag_limit,
    "global limit": _plain(GLOBAL_LIMITS),
    "block type": _plain(BLOCK_TYPES, "slug", fixed=("name",)),
    "block schema": _block_schema,
    "block": _block,
    "work pool": _plain(WORK_POOLS, fixed=("type",)),
    "work queue": _queue,
    "flow": _plain(FLOWS),
    "deployment": _deployment,
}
