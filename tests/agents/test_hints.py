"""Hints from a real broker that is fast, repeats them, loses them or is unreachable: the same runs are executed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orionflow.agent.broker import celery_app
from tests.agents.conftest import StartAgent
from tests.agents.running import QUICK, Api, eventually, running_agent
from tests.brokers import Redis, running_rabbitmq
from tests.site.running import running_server

# Without a hint an agent would not ask for work for this long.
RARELY = {**QUICK, "ORION_AGENT_POLL_SECONDS": "60"}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.kill()


def hint_often(url: str, api: Api, queue: str, run: str, times: int) -> None:
    found = api.post("/work_queues/filter", {"work_queues": {"name": {"any_": [queue]}}})
    app = celery_app("tests", url)
    with app.connection_for_write() as connection:
        for _ in range(times):
            app.send_task("orion.run", [run], queue=f"orion-runs.{found[0]['id']}", connection=connection)


def test_hints_come_through_redis(tmp_path: Path, home: Path, queue: str, redis: Redis):
    with running_server(tmp_path / "server", ORION_BROKER_URL=redis.url, **RARELY) as server:
        api = Api(server)
        with running_agent(home, api, queue, "--broker", redis.url) as agent:
            runs = [api.run_of("flows.py:doubling", queue) for _ in range(3)]

            assert [api.until_ended(run)["name"] for run in runs] == ["Completed"] * 3, agent.output


@pytest.mark.long
def test_hints_come_through_rabbitmq(tmp_path: Path, home: Path, queue: str):
    with (
        running_rabbitmq() as url,
        running_server(tmp_path / "server", ORION_BROKER_URL=url, **RARELY) as server,
        running_agent(home, api := Api(server), queue, "--broker", url) as agent,
    ):
        runs = [api.run_of("flows.py:doubling", queue) for _ in range(3)]
        first = [api.until_ended(run)["name"] for run in runs]
        # A broker that sends nothing for longer than the read timeout has not failed.
        time.sleep(8)
        second = api.until_ended(api.run_of("flows.py:doubling", queue))["name"]

        assert [*first, second] == ["Completed"] * 4, agent.output
        assert "broker" not in agent.output.partition("hints from the broker")[2], agent.output


def test_hints_come_through_a_folder(tmp_path: Path, home: Path, queue: str):
    url = f"filesystem://{tmp_path}/broker"
    with running_server(tmp_path / "server", ORION_BROKER_URL=url, **RARELY) as server:
        api = Api(server)
        with running_agent(home, api, queue, "--broker", url) as agent:
            runs = [api.run_of("flows.py:doubling", queue) for _ in range(3)]

            assert [api.until_ended(run)["name"] for run in runs] == ["Completed"] * 3, agent.output


def test_a_hint_that_comes_fifty_times_starts_one_attempt(api: Api, queue: str, start_agent: StartAgent, redis: Redis):
    start_agent("--broker", redis.url)
    run = api.run_of("flows.py:sleeping", queue, seconds=0.5)

    hint_often(redis.url, api, queue, run, 50)
    api.until_ended(run)
    hint_often(redis.url, api, queue, run, 5)
    last = api.run_of("flows.py:doubling", queue)

    assert api.until_ended(last)["name"] == "Completed"
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]


def test_runs_are_found_without_a_broker_that_answers(api: Api, queue: str, start_agent: StartAgent, redis: Redis):
    agent = start_agent("--broker", redis.url)
    redis.freeze()

    frozen = api.until_ended(api.run_of("flows.py:doubling", queue))
    redis.kill()
    gone = api.until_ended(api.run_of("flows.py:doubling", queue))
    redis.start()
    again = api.until_ended(api.run_of("flows.py:doubling", queue))

    assert [frozen["name"], gone["name"], again["name"]] == ["Completed"] * 3
    assert agent.process.poll() is None
    eventually(lambda: agent.output.count("broker does not answer") <= 1)


def test_agent_of_a_whole_pool_listens_to_queues_that_are_created_later(api: Api, home: Path, queue: str, redis: Redis):
    with running_agent(home, api, None, "--broker", redis.url) as agent:
        # Nothing is sent to that queue here, so only a listener can have created it in the broker.
        made = api.post("/work_queues/", {"name": queue})

        eventually(lambda: redis.has(f"orion:_kombu.binding.orion-runs.{made['id']}"), lambda: agent.output)


def test_agent_of_a_whole_pool_gets_the_runs_of_a_new_queue_without_polling(tmp_path: Path, home: Path, queue: str):
    url = f"filesystem://{tmp_path}/broker"
    rarely = {**RARELY, "ORION_HEARTBEAT_SECONDS": "60", "ORION_LEASE_SECONDS": "300"}
    with running_server(tmp_path / "server", ORION_BROKER_URL=url, **rarely) as server:
        api = Api(server)
        with running_agent(home, api, None, "--broker", url) as agent:
            run = api.run_of("flows.py:doubling", queue)

            assert api.until_ended(run)["name"] == "Completed", agent.output


def test_a_broker_that_hangs_does_not_keep_an_agent_from_ending(
    api: Api, queue: str, start_agent: StartAgent, redis: Redis
):
    agent = start_agent("--broker", redis.url)
    redis.freeze()

    agent.signal(signal.SIGTERM)

    assert agent.ended() == 0
