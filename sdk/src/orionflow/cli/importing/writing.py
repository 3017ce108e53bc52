"""Making or changing one thing on the server that is copied to: names become its own ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from orionflow.cli.importing.reading import Json, Thing, World


def write(target: World, wanted: Thing, stored: Thing | None) -> None:
    """Bring `wanted` to the target, which has `stored` under the same name."""
    id = WRITERS[wanted.kind](target, wanted, stored)
    target.add(Thing(wanted.kind, wanted.name, wanted.body, id))


def _variable(target: World, wanted: Thing, stored: Thing | None) -> str:
    if stored is None:
        return _made(target, "/variables/", {"name": wanted.name, **wanted.body})
    return _changed(target, f"/variables/{stored.id}", wanted.body, stored)


def _tag_limit(target: World, wanted: Thing, stored: Thing | None) -> str:
    return _made(target, "/concurrency_limits/", {"tag": wanted.name, **wanted.body})


def _global_limit(target: World, wanted: Thing, stored: Thing | None) -> str:
    if stored is None:
        return _made(target, "/v2/concurrency_limits/", {"name": wanted.name, **wanted.body})
    return _changed(target, f"/v2/concurrency_limits/{stored.id}", wanted.body, stored)


def _block_type(target: World, wanted: Thing, stored: Thing | None) -> str:
    if stored is None:
        return _made(target, "/block_types/", {"slug": wanted.name, **wanted.body})
    return _changed(target, f"/block_types/{stored.id}", _without(wanted.body, "name"), stored)


def _block_schema(target: World, wanted: Thing, stored: Thing | None) -> str:
    of_type = target.id_of("block type", wanted.body["block_type"])
    return _made(target, "/block_schemas/", {**_without(wanted.body, "block_type"), "block_type_id": of_type})


def _block(target: World, wanted: Thing, stored: Thing | None) -> str:
    body = wanted.body
    data = {name: _referred(target, value) for name, value in body["data"].items()}
    schema = target.id_of("block schema", body["block_schema"])
    if stored is not None:
        changes = {"data": data, "block_schema_id": schema, "merge_existing_data": False}
        return _changed(target, f"/block_documents/{stored.id}", changes, stored)
    of_type = target.id_of("block type", wanted.name.partition("/")[0])
    ids = {"block_schema_id": schema, "block_type_id": of_type}
    return _made(target, "/block_documents/", {**_without(body, "block_schema"), "data": data, **ids})


def _referred(target: World, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"$ref"}:
        return {"$ref": {"block_document_id": target.id_of("block", value["$ref"])}}
    return value


def _pool(target: World, wanted: Thing, stored: Thing | None) -> str:
    if stored is None:
        return _made(target, "/work_pools/", {"name": wanted.name, **wanted.body})
    path = f"/work_pools/{quote(wanted.name, safe='')}"
    return _changed(target, path, _without(wanted.body, "type"), stored)


def _queue(target: World, wanted: Thing, stored: Thing | None) -> str:
    pool, body = quote(wanted.body["pool"], safe=""), _without(wanted.body, "pool")
    # A pool is made with its default queue, after the target's queues were read.
    known = stored or _queue_made_meanwhile(target, pool, body["name"])
    if known is None:
        return _made(target, f"/work_pools/{pool}/queues", body)
    path = f"/work_pools/{pool}/queues/{quote(body['name'], safe='')}"
    return _changed(target, path, _without(body, "name"), known)


def _queue_made_meanwhile(target: World, pool: str, name: str) -> Thing | None:
    queues = target.pages(f"/work_pools/{pool}/queues/filter")
    return next((Thing("work queue", name, {}, one["id"]) for one in queues if one["name"] == name), None)


def _flow(target: World, wanted: Thing, stored: Thing | None) -> str:
    if stored is None:
        return _made(target, "/flows/", {"name": wanted.name, **wanted.body})
    return _changed(target, f"/flows/{stored.id}", wanted.body, stored)


def _deployment(target: World, wanted: Thing, stored: Thing | None) -> str:
    body = _without(wanted.body, "flow", "storage_document", "infrastructure_document")
    ids = {"flow_id": target.id_of("flow", wanted.body["flow"])}
    for kind in ("storage_document", "infrastructure_document"):
        if name := wanted.body.get(kind):
            ids[f"{kind}_id"] = target.id_of("block", name)
    return _made(target, "/deployments/", {**body, **ids})


def _made(target: World, path: str, body: Json) -> str:
    id: str = target.api.post(path, body)["id"]
    return id


def _changed(target: World, path: str, body: Json, stored: Thing) -> str:
    target.api.request("PATCH", path, body)
    return stored.id


def _without(body: Json, *names: str) -> Json:
    return {name: value for name, value in body.items() if name not in names}


WRITERS: dict[str, Callable[[World, Thing, Thing | None], str]] = {
    "variable": _variable,
    "tag limit": _tag_limit,
    "global limit": _global_limit,
    "block type": _block_type,
    "block schema": _block_schema,
    "block": _block,
    "work pool": _pool,
    "work queue": _queue,
    "flow": _flow,
    "deployment": _deployment,
}
