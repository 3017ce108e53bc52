"""A program of Prefect 2, run by Prefect's own Python: `experimental_program.py emit|call|serve`."""

from __future__ import annotations

import asyncio
import json
import sys

from prefect import flow, task
from prefect.events import emit_event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.task_server import serve

TRIES: list[str] = []


@task(retries=1, retry_delay_seconds=0.1)
def greet(name: str) -> str:
    TRIES.append(name)
    if len(TRIES) == 1:
        raise ValueError("the first try fails")
    return f"hello {name}"


@task
def rest() -> None:
    """A call without parameters."""


@flow
def reporting() -> None:
    emit_event("trial.inside", resource={"prefect.resource.id": "trial.flow"})


async def received_names() -> list[str]:
    names: list[str] = []
    emit_event("trial.before", resource={"prefect.resource.id": "trial.1"}, payload={"degrees": 3})
    everything = EventFilter(event=EventNameFilter(prefix=["trial."]))
    async with get_events_subscriber(filter=everything) as subscriber:
        emit_event("trial.after", resource={"prefect.resource.id": "trial.1"})
        async for event in subscriber:
            names.append(event.event)
            if {"trial.before", "trial.after"} <= set(names):
                return names
    return names


def main() -> None:
    match sys.argv[1]:
        case "emit":
            names = asyncio.run(asyncio.wait_for(received_names(), 60))
            reporting()
            print(json.dumps(names))
        case "call":
            print(json.dumps([str(greet.submit("world").id), str(rest.submit().id)]))
        case "serve":
            serve(greet, rest)


if __name__ == "__main__":
    main()
