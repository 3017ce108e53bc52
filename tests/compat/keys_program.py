"""A program of the other client: it lists flows, runs one, and opens a socket, each as far as its key goes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import TaskRun
from prefect.client.subscriptions import Subscription


@flow
def one_more(x: int = 1) -> int:
    return x + 1


async def read() -> None:
    async with get_client() as client:
        await client.read_flows()


async def listen() -> None:
    await Subscription(model=TaskRun, path="/task_runs/subscriptions/scheduled", keys=["x"])._ensure_connected()


def outcome(work: Any) -> str:
    try:
        work()
    except Exception as error:
        return str(error)
    return "done"


if __name__ == "__main__":
    steps = {"read": lambda: asyncio.run(read()), "run": one_more, "listen": lambda: asyncio.run(listen())}
    print(json.dumps({name: outcome(step) for name, step in steps.items()}))
