"""The cost of a key: the same requests by the owner, whom the kernel names, and by an API key, in turn.

Both have a connection that stays open, and ask in blocks that change places each round, so that whatever else the
machine does falls on both. The share is of the whole request as its sender waits for it: the median of the rounds'
ratios, which says more than a ratio of medians where the machine is busy.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.measuring import QUICK, empty_home, environment, report, running_server
from benchmarks.postgresql import postgresql

ROUNDS, BLOCK = (10, 40) if QUICK else (60, 60)
MAKE_KEY = """
import django
django.setup()
from django.utils import timezone
from orion_site.accounts.keys import create_key
from orion_site.accounts.users import create_user
user = create_user(name="measured", password="an otter in the river", roles=["deployer"])
print(create_key(user=user, name="measured", role="", expires=None, now=timezone.now())[1])
"""


class Asker:
    """One kept-alive connection, with a key or without."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        self.base = parts.path
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self.headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body)
        self.connection.request(method, f"{self.base}{path}", content, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text) if text else None


def timed(asker: Asker, request: Callable[[Asker], Any]) -> float:
    begin = time.perf_counter()
    for _ in range(BLOCK):
        request(asker)
    return (time.perf_counter() - begin) / BLOCK


def compare(database: str, what: str, askers: Sequence[Asker], request: Callable[[Asker], Any]) -> None:
    owner, keyed = askers
    ratios, times = [], list[float]()
    for number in range(ROUNDS):
        pair = {id(one): timed(one, request) for one in (askers if number % 2 else reversed(askers))}
        ratios.append(pair[id(keyed)] / pair[id(owner)])
        times.append(pair[id(owner)])
    share = 100 * (median(ratios) - 1)
    report("keys", database=database, what=what, owner_ms=round(1000 * median(times), 3), key_costs=f"{share:.1f} %")


def measure(database: str, **more: str) -> None:
    # Nobody is slowed: what is measured is a request, not how many there may be.
    more = {"ORION_API_REQUESTS_PER_SECOND": "1000000", "ORION_API_BURST": "1000000", **more}
    with empty_home() as home, running_server(home, **more) as (url, _):
        askers = Asker(url), Asker(url, key_in(home, **more))
        flow = askers[0].ask("POST", "/flows/", {"name": "measured"})["id"]
        run = askers[0].ask("POST", "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}})["id"]
        log = {"name": "x", "level": 20, "message": "m", "timestamp": "2026-01-01T00:00:00Z", "flow_run_id": run}
        requests: dict[str, Callable[[Asker], Any]] = {
            "read a run": lambda one: one.ask("GET", f"/flow_runs/{run}"),
            "list runs": lambda one: one.ask("POST", "/flow_runs/filter", {"limit": 20}),
            "log a line": lambda one: one.ask("POST", "/logs/", [log]),
            "a task run and its state": lambda one: one.ask(
                "POST",
                "/task_runs/",
                {"flow_run_id": run, "task_key": "t", "dynamic_key": str(uuid4()), "state": {"type": "RUNNING"}},
            ),
        }
        for what, request in requests.items():
            compare(database, what, askers, request)


def key_in(home: Path, **more: str) -> str:
    variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **more)
    made = subprocess.run([sys.executable, "-c", MAKE_KEY], env=variables, capture_output=True, text=True, check=True)
    return made.stdout.split()[-1]


def main() -> None:
    measure("sqlite")
    with postgresql() as url:
        measure("postgresql", ORION_DATABASE_URL=url)


if __name__ == "__main__":
    main()
