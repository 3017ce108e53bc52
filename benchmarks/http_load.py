"""Transitions per second over HTTP: create a task run, RUNNING, COMPLETED, with 1, 8 and 32 clients, on both databases.

With `--peer`, the servers of Prefect 2 and Prefect 3 get the same load in the same run. The client is small, with one
event loop and one connection each, because it takes processor time from the server on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from benchmarks import peers
from benchmarks.measuring import QUICK, empty_home, percentile, report, running_server
from benchmarks.postgresql import debian_programs, postgresql

SECONDS = 3.0 if QUICK else 8.0
PAUSE_AFTER_ERROR = 0.02
# Counted like a status: the server closed the connection without an answer.
CLOSED = 599


class Connection:
    """A kept-alive connection that posts JSON."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.base = parts.hostname, parts.port, parts.path

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        content = json.dumps(body).encode()
        head = f"POST {self.base}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self.writer.write(head.encode() + content)
        try:
            answer = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(answer.split("content-length:")[1].split("\r\n")[0])
            content = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self.close()
            await self.open()
            return CLOSED, {}
        return int(answer.split()[1]), json.loads(content) if answer.count("application/json") else {}


class Load:
    """Requests of the clients: their number, how long each took, and which failed."""

    def __init__(self) -> None:
        self.create: list[float] = []
        self.set_state: list[float] = []
        self.made = 0
        self.errors: Counter[str] = Counter()

    async def timed(self, connection: Connection, times: list[float], path: str, body: Any) -> Any:
        started = time.perf_counter()
        status, answer = await connection.post(path, body)
        times.append(time.perf_counter() - started)
        if status >= 300 or answer.get("status", "ACCEPT") != "ACCEPT":
            self.errors[f"{status} {answer.get('status', '')}".strip()] += 1
        else:
            self.made += 1
        return answer

    async def one_run(self, connection: Connection, flow_run_id: str) -> None:
        new = {
            "flow_run_id": flow_run_id,
            "task_key": "t",
            "dynamic_key": uuid.uuid4().hex,
            "state": {"type": "PENDING"},
        }
        run = await self.timed(connection, self.create, "/task_runs/", new)
        if "id" not in run:
            await asyncio.sleep(PAUSE_AFTER_ERROR)
            return
        for state in ("RUNNING", "COMPLETED"):
            path = f"/task_runs/{run['id']}/set_state"
            await self.timed(connection, self.set_state, path, {"state": {"type": state}})


async def load(url: str, clients: int, limit: float = SECONDS) -> tuple[Load, float]:
    """Let clients create task runs and report their states until `limit` seconds have passed."""
    connections = [Connection(url) for _ in range(clients)]
    for connection in connections:
        await connection.open()
    _, flow = await connections[0].post("/flows/", {"name": "load"})
    _, run = await connections[0].post("/flow_runs/", {"flow_id": flow["id"], "state": {"type": "PENDING"}})
    await connections[0].post(f"/flow_runs/{run['id']}/set_state", {"state": {"type": "RUNNING"}})
    for _ in range(30):
        await Load().one_run(connections[0], run["id"])
    done, started = Load(), time.perf_counter()

    async def client(connection: Connection) -> None:
        while time.perf_counter() - started < limit:
            await done.one_run(connection, run["id"])

    await asyncio.gather(*map(client, connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        await connection.close()
    return done, seconds


def measure(url: str, who: str, database: str, clients: int) -> None:
    done, seconds = asyncio.run(load(url, clients))
    report(
        "http_transitions",
        who=who,
        database=database,
        clients=clients,
        transitions_per_second=round(done.made / seconds, 1),
        create_p50_ms=round(percentile(done.create, 0.5) * 1000, 2),
        set_state_p50_ms=round(percentile(done.set_state, 0.5) * 1000, 2),
        set_state_p95_ms=round(percentile(done.set_state, 0.95) * 1000, 2),
        set_state_p99_ms=round(percentile(done.set_state, 0.99) * 1000, 2),
        errors=sum(done.errors.values()),
    )


def measure_all(url: str, who: str, database: str) -> None:
    for clients in (1, 8, 32):
        measure(url, who, database, clients)


def orion(database: str, **more: str) -> None:
    with empty_home() as home, running_server(home, **more) as (url, _):
        measure_all(url, "orion", database)


def prefect(requirement: str, database: str, **more: str) -> None:
    with (
        peers.attempt(requirement, "http_transitions", database=database),
        empty_home() as home,
        peers.prefect_server(str(home), requirement, **more) as (url, _),
    ):
        measure_all(url, requirement, database)


def as_prefect_names_it(database_url: str) -> str:
    return database_url.replace("postgresql://", "postgresql+asyncpg://", 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true")
    beside = (peers.PREFECT_2, peers.PREFECT) if parser.parse_args().peer else ()
    orion("sqlite")
    for requirement in beside:
        prefect(requirement, "sqlite")
    with postgresql() as database_url:
        orion("postgresql", ORION_DATABASE_URL=database_url)
    if beside and not debian_programs():
        sys.exit("the peers' servers on PostgreSQL want Debian's package `postgresql`, and root to start it")
    for requirement in beside:
        with postgresql() as database_url:
            url = as_prefect_names_it(database_url)
            prefect(requirement, "postgresql", PREFECT_API_DATABASE_CONNECTION_URL=url)
