"""The cost of an API key: the same requests by the local owner and with a key, alternately.

Requests call the server's WSGI application in this process, and the processor time of the thread is measured, so that
other programs on the machine change little. The median of the differences is compared with the median request.
Processor time of PostgreSQL is not included.

Then the same over HTTP: blocks of requests to a server, alternately by the owner and with the key, and the processor
time of all its threads per request.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from benchmarks.measuring import ORION, QUICK, empty_home, environment, report, running_server
from benchmarks.postgresql import postgresql

PAIRS, WARM_UP, BLOCKS, BLOCK = (300, 50, 6, 50) if QUICK else (1500, 200, 30, 100)
# No rate limit: the cost of one request is measured.
UNLIMITED = {"ORION_API_REQUESTS_PER_SECOND": "1000000", "ORION_API_BURST": "1000000"}
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Asker:
    """Requests of one sender, as the adapter passes them to the application."""

    def __init__(self, application: Application, key: str | None = None) -> None:
        from orion_site.http.peers import OWN_USER

        self._application = application
        self._proof: dict[str, Any] = {OWN_USER: True} if key is None else {"HTTP_AUTHORIZATION": f"Bearer {key}"}

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        answered: list[str] = []
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/api{path}",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "4200",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:4200",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
            "wsgi.input": io.BytesIO(content),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            **self._proof,
        }
        parts = self._application(environ, lambda status, headers, *_: answered.append(status))
        text = b"".join(parts)
        with contextlib.suppress(AttributeError):
            parts.close()  # type: ignore[attr-defined]
        if int(answered[0][:3]) >= 300:
            raise RuntimeError(f"{method} {path}: {answered[0]} {text[:200]!r}")
        return json.loads(text) if text else None


def timed(asker: Asker, request: Callable[[Asker], Any]) -> float:
    begin = time.thread_time_ns()
    request(asker)
    return (time.thread_time_ns() - begin) / 1e6


def compare(database: str, what: str, owner: Asker, keyed: Asker, request: Callable[[Asker], Any]) -> None:
    for _ in range(WARM_UP):
        request(owner)
        request(keyed)
    pairs = []
    for number in range(PAIRS):
        # Alternate the order, because the second request finds warm caches.
        first, second = (owner, keyed) if number % 2 else (keyed, owner)
        times = {first: timed(first, request), second: timed(second, request)}
        pairs.append((times[owner], times[keyed]))
    usual, more = median(one for one, _ in pairs), median(two - one for one, two in pairs)
    costs = f"{100 * more / usual:.1f} %"
    report("keys", database=database, what=what, owner_ms=round(usual, 3), key_ms=round(more, 3), key_costs=costs)


def measure(database: str) -> None:
    import django

    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.utils import timezone

    from orion_site.accounts.keys import create_key
    from orion_site.accounts.users import create_user

    user = create_user(name="measured", password="an otter in the river", roles=["deployer"])  # noqa: S106
    _, key = create_key(user=user, name="measured", role="", expires=None, now=timezone.now())
    application = get_wsgi_application()
    owner, keyed = Asker(application), Asker(application, key)
    flow = owner.ask("POST", "/flows/", {"name": "measured"})["id"]
    run = owner.ask("POST", "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}})["id"]
    for what, request in requests_about(run).items():
        compare(database, what, owner, keyed, lambda one, request=request: one.ask(*request()))  # type: ignore[misc]


def requests_about(run: str) -> dict[str, Callable[[], tuple[str, str, Any]]]:
    """Return functions that create requests about a run: method, path, body."""
    line = {"name": "x", "level": 20, "message": "m", "timestamp": "2026-01-01T00:00:00Z", "flow_run_id": run}
    task = {"flow_run_id": run, "task_key": "t", "state": {"type": "RUNNING"}}
    return {
        "read a run": lambda: ("GET", f"/flow_runs/{run}", None),
        "list 20 runs": lambda: ("POST", "/flow_runs/filter", {"limit": 20}),
        "log a line": lambda: ("POST", "/logs/", [line]),
        "a task run and its state": lambda: ("POST", "/task_runs/", {**task, "dynamic_key": str(uuid4())}),
    }


def over_http(database: str, **more: str) -> None:
    """Compare blocks of requests to a real server by the processor time of its process."""
    more = {**UNLIMITED, **more}
    with empty_home() as home, running_server(home, **more) as (url, _):
        variables = environment(home, **more)

        def orion(*words: str) -> Any:
            done = subprocess.run([ORION, *words, "-o", "json"], env=variables, check=True, capture_output=True)
            return json.loads(done.stdout)

        key = orion("key", "create", "measured", "--role", "deployer")["key"]
        (server,) = orion("server", "status")
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port)

        def ask(method: str, path: str, body: Any, key: str | None) -> Any:
            headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
            connection.request(method, f"/api{path}", json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
            return json.loads(text) if text else None

        flow = ask("POST", "/flows/", {"name": "measured"}, None)["id"]
        run = ask("POST", "/flow_runs/", {"flow_id": flow, "state": {"type": "RUNNING"}}, None)["id"]
        for what, request in requests_about(run).items():
            for sender in (None, key):
                for _ in range(WARM_UP):
                    ask(*request(), sender)
            differences, usual = [], []
            for number in range(BLOCKS):
                worked = {}
                for sender in (None, key) if number % 2 else (key, None):
                    begin = processor_ms(server["pid"])
                    for _ in range(BLOCK):
                        ask(*request(), sender)
                    worked[sender] = (processor_ms(server["pid"]) - begin) / BLOCK
                usual.append(worked[None])
                differences.append(worked[key] - worked[None])
            costs = f"{100 * median(differences) / median(usual):.1f} %"
            figures = {"owner_ms": round(median(usual), 3), "key_ms": round(median(differences), 3), "key_costs": costs}
            report("keys", database=database, what=f"{what}, over HTTP", **figures)


def processor_ms(pid: int) -> float:
    """Return the processor time of all threads of a process in milliseconds."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in threads) / 1e6


def in_process(database: str, **more: str) -> None:
    """Measure in a child process, whose settings are for this database."""
    more = {**UNLIMITED, **more}
    with empty_home() as home:
        variables = environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings", **more)
        subprocess.run([ORION, "database", "upgrade"], env=variables, check=True, capture_output=True)
        subprocess.run([sys.executable, "-m", "benchmarks.keys", database], env=variables, check=True)


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    for measured in (in_process, over_http):
        measured("sqlite")
        with postgresql() as url:
            measured("postgresql", ORION_DATABASE_URL=url)


if __name__ == "__main__":
    main()
