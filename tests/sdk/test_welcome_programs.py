"""Programs of the shapes that newcomers meet first, run as scripts; a small local server stands for the network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.sdk.programs import Program


class Counts(BaseHTTPRequestHandler):
    """Answers how many visitors a place has; the first request for each place fails."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, CountServer)
        place = self.path.rsplit("/", 1)[-1]
        with server.lock:
            server.seen[place] = server.seen.get(place, 0) + 1
            fails = server.seen[place] == 1
        body = b"not json" if fails else json.dumps({"visitors": 10 * len(place)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


class CountServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counts)
        self.seen: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def counts() -> Iterator[CountServer]:
    server = CountServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_loop_over_a_task_with_retries(counts: CountServer, tmp_path: Path):
    program = Program(
        tmp_path,
        f"""
        from typing import List
        import requests
        from orionflow import flow, task

        @task(retries=3)
        def count_visitors(place: str):
            answer = requests.get("{counts.url}/places/" + place)
            number = answer.json()["visitors"]
            print(place, "had", number, "visitors")

        @flow(name="Visitors")
        def visitors(places: List[str]):
            for place in places:
                count_visitors(place)

        visitors(["museum", "park"])
        """,
        ready=False,
    )

    ended = program.run()

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["museum had 60 visitors", "park had 40 visitors"]
    assert program.flow_run()[0] == "Completed"
    assert program.task_runs() == [("count_visitors-0", "Completed"), ("count_visitors-1", "Completed")]
    assert program.query("SELECT run_count FROM runs_taskrun") == [(2,), (2,)]


def test_calls_go_to_processes_in_parallel(counts: CountServer, tmp_path: Path):
    program = Program(
        tmp_path,
        f"""
        from typing import List
        import requests
        from orionflow import flow, task
        from orionflow.task_runners import ProcessTaskRunner

        @task(retries=3)
        def count_visitors(place: str):
            answer = requests.get("{counts.url}/places/" + place)
            print(f"{{place}} had {{answer.json()['visitors']}} visitors\\n", end="")

        @flow(name="Visitors", task_runner=ProcessTaskRunner(), submit_calls=True)
        def visitors(places: List[str]):
            for place in places:
                count_visitors(place)

        if __name__ == "__main__":
            visitors(["museum", "park"])
        """,
    )

    ended = program.run()

    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == ["museum had 60 visitors", "park had 40 visitors"]
    assert {state for _, state in program.task_runs()} == {"Completed"}


def test_async_tasks_are_gathered(counts: CountServer, tmp_path: Path):
    program = Program(
        tmp_path,
        f"""
        import asyncio
        from typing import List
        import requests
        from orionflow import flow, task

        @task(retries=3)
        async def count_visitors(place: str):
            answer = await asyncio.to_thread(requests.get, "{counts.url}/places/" + place)
            print(f"{{place}} had {{answer.json()['visitors']}} visitors\\n", end="")

        @flow(name="Visitors")
        async def visitors(places: List[str]):
            await asyncio.gather(*[count_visitors(place) for place in places])

        asyncio.run(visitors(["museum", "park"]))
        """,
    )

    ended = program.run()

    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == ["museum had 60 visitors", "park had 40 visitors"]
    assert program.flow_run()[0] == "Completed"
    assert {state for _, state in program.task_runs()} == {"Completed"}


def test_calls_in_loops_over_constants_and_results(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        from orionflow import flow, task

        @task
        def numbers():
            return [5, 6, 7]

        @task
        def double(n):
            return 2 * n

        @task
        def show(n):
            print(f"show {n}\\n", end="")

        @flow(submit_calls=True)
        def looping():
            for n in range(3):
                double(n)

            found = numbers()
            for n in found.wait().result():
                show(double(n))

        looping()
        """,
    )

    ended = program.run()

    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == ["show 10", "show 12", "show 14"]
    assert len(program.task_runs()) == 3 + 1 + 6


def test_order_without_data(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        import time
        from orionflow import flow, task

        @task
        def before():
            time.sleep(0.2)
            print("before")

        @task
        def after():
            print("after")

        @flow(submit_calls=True)
        def ordered():
            first = before()
            second = after(wait_for=[first])

        ordered()
        """,
    )

    ended = program.run()

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["before", "after"]
    ((inputs,),) = program.query("SELECT task_inputs FROM runs_taskrun WHERE name = 'after-0'")
    assert list(json.loads(inputs)) == ["wait_for"]


def test_unguarded_processes_get_a_hint(tmp_path: Path):
    program = Program(
        tmp_path,
        """
        from orionflow import flow, task
        from orionflow.task_runners import ProcessTaskRunner

        @task
        def one():
            return 1

        @flow(task_runner=ProcessTaskRunner(max_workers=1))
        def outer():
            return one.submit().result()

        outer()
        """,
    )

    ended = program.run()

    assert ended.returncode == 1
    assert '__name__ == "__main__"' in ended.stderr
    assert program.flow_run()[0] == "Failed"
