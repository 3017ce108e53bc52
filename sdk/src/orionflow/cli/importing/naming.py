"""Which objects of an old server cannot be copied, because this one gives no new object such a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from orionflow.cli.deploy.diff import DEFAULT_POOL
from orionflow.cli.importing.reading import Thing, World
from orionflow.contract.names import control_in, deception_in, fault_of

Rule = Callable[[str], str | None]


def why_left_out(thing: Thing, target: World) -> str | None:
    """Return a note if the target would refuse the object for its name, or for one that it refers to."""
    for kind, key, name, rule in _names(thing):
        fault = rule(name)
        if fault and key not in target.of(kind):
            return f"The {thing.kind} {ascii(thing.name)} is left out, as this server accepts no such name. {fault}."
    return None


def _names(thing: Thing) -> Iterator[tuple[str, str, str, Rule]]:
    """Yield the kind, the key, the name and the rule of each object that exists when this one is copied."""
    body = thing.body
    match thing.kind:
        case "tag limit":
            yield thing.kind, thing.name, thing.name, control_in
        case "global limit" | "work pool":
            yield thing.kind, thing.name, thing.name, fault_of
        case "flow":
            yield thing.kind, thing.name, thing.name, deception_in
        case "work queue":
            yield "work pool", body["pool"], body["pool"], fault_of
            yield thing.kind, thing.name, body["name"], fault_of
        case "deployment":
            pool, queue = body.get("work_pool_name") or DEFAULT_POOL, body.get("work_queue_name") or ""
            yield "flow", body["flow"], body["flow"], deception_in
            yield "work pool", pool, pool, fault_of
            yield "work queue", f"{pool}/{queue}", queue, fault_of
            yield thing.kind, thing.name, body["name"], fault_of
