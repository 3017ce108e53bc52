"""Tasks that share an object that cannot be pickled or sent: an open database connection.

    python examples/shared_connection.py

A flow is a Python function, so the connection is a Python variable. Its tasks run one after another, because SQLite's
connections belong to one thread.
"""

from __future__ import annotations

import sqlite3

from orionflow import flow, task
from orionflow.task_runners import SequentialTaskRunner


@task
def create_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE measures (station TEXT, celsius REAL)")


@task
def insert(connection: sqlite3.Connection, station: str, celsius: float) -> None:
    connection.execute("INSERT INTO measures VALUES (?, ?)", (station, celsius))


@task
def warmest(connection: sqlite3.Connection) -> str:
    (station,) = connection.execute("SELECT station FROM measures ORDER BY celsius DESC LIMIT 1").fetchone()
    return str(station)


@flow(name="shared-connection", task_runner=SequentialTaskRunner())
def measure() -> str:
    with sqlite3.connect(":memory:") as connection:
        created = create_table(connection, return_state=True)
        for station, celsius in [("harbour", 11.5), ("airport", 9.0), ("park", 12.25)]:
            insert(connection, station, celsius, wait_for=[created])
        return warmest(connection)


if __name__ == "__main__":
    print(f"warmest: {measure()}")
