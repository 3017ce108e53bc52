"""Flows that are handed over, and runs of them that programs ask for, against the real API."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, run_deployment, serve, task
from orionflow.calls.deployments import read_deployment, read_deployment_by_name
from orionflow.calls.flow_runs import read_flow_runs
from orionflow.calls.work import create_work_pool
from orionflow.client import OrionClient
from orionflow.deployments import Cron, Deployment, Interval
from orionflow.deployments.serving import SERVED_POOL, deploy_served
from orionflow.engine.invoke import call_flow_for_run
from orionflow.errors import Conflict, NotFound, ParameterError, UsageError
from orionflow.states import Cancelling
from orionflow.storage import GitRepository
from orionflow.testing import Isolated, VirtualClock, flow_runs, isolated, task_runs_of
from tests.deploying.flows import etl
from tests.storage.repositories import Repository


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where those who deploy usually are: in the folder from which paths are meant."""
    monkeypatch.chdir(Path(__file__).parents[2])


def stored(orion: Isolated, name: str = "etl/prod") -> Any:
    return orion.client.send(read_deployment_by_name(name))


def test_deployed_flow_is_stored_with_given_options_and_those_of_the_flow(orion):
    id = etl.deploy(
        "prod",
        cron="0 6 * * 1-5",
        timezone="Europe/Berlin",
        parameters={"limit": 3},
        tags=["nightly"],
        work_queue_name="big",
        concurrency_limit=2,
        job_variables={"env": {"A": "1"}},
        must_start_within=timedelta(minutes=5),
    )

    found = stored(orion)
    assert found.id == id
    assert found.entrypoint == "tests/deploying/flows.py:etl"
    assert found.path == str(Path.cwd())
    assert found.tags == ["nightly", "shop"]
    assert (found.version, found.description, found.overlap) == ("7", "Load a day.", "skip")
    assert (found.work_queue_name, found.concurrency_limit) == ("big", 2)
    assert found.schedules[0].schedule == {"cron": "0 6 * * 1-5", "timezone": "Europe/Berlin", "day_or": True}
    assert found.parameter_openapi_schema["properties"]["day"]["type"] == "string"
    assert found.enforce_parameter_schema


def test_deployed_again_under_its_name_it_is_brought_up_to_date(orion):
    first = etl.deploy("prod", cron="0 6 * * *", concurrency_limit=1, parameters={"limit": 3})

    second = etl.deploy("prod", interval=3600)

    found = stored(orion)
    assert first == second
    assert [one.schedule.get("interval") for one in found.schedules] == [3600.0]
    assert (found.concurrency_limit, found.parameters) == (None, {})


def planned_policies(orion: Isolated) -> set[int]:
    runs = orion.client.send(read_flow_runs(deployments={"name": {"any_": ["sturdy"]}}))
    return {run.empirical_policy["crash_retries"] for run in runs}


def test_crash_retries_are_known_of_every_run_before_its_code_is_loaded(orion):
    flow = etl.with_options(crash_retries=3)
    flow.deploy("sturdy", cron="0 6 * * *")
    run_deployment("etl/sturdy", timeout=0)
    first = planned_policies(orion)

    etl.with_options(crash_retries=1).deploy("sturdy", cron="0 6 * * *")
    of_planned = planned_policies(orion) - first
    etl.with_options(crash_retries=1).deploy("sturdy", cron="0 6 * * *", crash_retries=2)

    assert first == {3}
    assert of_planned == {1}
    assert stored(orion, "etl/sturdy").crash_retries == 2
    etl.deploy("plain")
    assert stored(orion, "etl/plain").crash_retries == 0


@pytest.mark.parametrize("odd", [-1, 1.5, "3", True])
def test_crash_retries_of_a_deployment_are_checked(odd: Any):
    with pytest.raises(UsageError, match="crash_retries"):
        etl.to_deployment("prod", crash_retries=odd)


def test_deployment_is_built_and_applied_apart(orion):
    deployment = Deployment.build_from_flow(
        etl, name="prod", schedules=[Cron("0 6 * * *"), Interval(60, parameters={"limit": 1}, active=False)]
    )
    deployment.description = "Changed before it was applied."

    deployment.apply()

    found = stored(orion)
    assert found.description == "Changed before it was applied."
    by_kind = {next(iter(one.schedule)): one for one in found.schedules}
    assert by_kind["cron"].active
    assert not by_kind["interval"].active
    assert by_kind["interval"].parameters == {"limit": 1}
    assert found.work_queue_name == "default"


def test_storage_becomes_pull_steps(orion):
    etl.deploy("prod", storage=GitRepository("https://host/shop.git", commit="a" * 40))

    found = stored(orion)
    assert found.path is None
    assert found.pull_steps == [
        {"orionflow.storage.git_clone": {"repository": "https://host/shop.git", "commit": "a" * 40}}
    ]


def test_flow_from_a_repository_is_deployed_from_there(orion, tmp_path):
    repository = Repository(tmp_path)
    repository.commit(
        fetched_etl__py="from orionflow import flow\n\n@flow\ndef fetched(x: int = 2) -> int:\n    return x\n"
    )

    fetched = flow.from_source(repository.url, "fetched_etl.py:fetched")
    fetched.with_options(description="From afar.").deploy("prod")

    found = stored(orion, "fetched/prod")
    assert fetched() == 2
    assert found.entrypoint == "fetched_etl.py:fetched"
    assert found.pull_steps == [{"orionflow.storage.git_clone": {"repository": repository.url}}]


@pytest.mark.parametrize(
    ("name", "options", "cause"),
    [
        ("prod", {"parameters": {"dy": 1}}, "no parameter 'dy'"),
        ("prod", {"parameters": {"day": iter(())}}, "JSON can express"),
        ("prod", {"colour": "red"}, "colour"),
        ("a/b", {}, "has / in it"),
        ("prod", {"timezone": "UTC"}, "belong to cron"),
    ],
)
def test_invalid_deployments_are_refused_here(name, options, cause):
    with pytest.raises(UsageError, match=cause):
        etl.deploy(name, **options)


def test_invalid_schedule_is_refused_by_the_api():
    with pytest.raises(Exception, match="cron"):
        etl.deploy("prod", cron="every day")


def test_flow_is_deployed_and_run_from_coroutines(orion):
    async def program() -> Any:
        await etl.deploy("prod")
        return await run_deployment("etl/prod", timeout=0)

    run = asyncio.run(program())

    assert run.deployment_id == stored(orion).id


def test_run_is_asked_for_and_not_waited_for(orion):
    id = etl.deploy("prod", parameters={"limit": 3})

    run = run_deployment("etl/prod", parameters={"day": "today"}, timeout=0, tags=["adhoc"], flow_run_name="once")

    assert run.state_name == "Scheduled"
    assert run.name == "once"
    assert run.parameters == {"limit": 3, "day": "today"}
    assert set(run.tags) == {"adhoc", "shop"}
    assert run.deployment_id == id
    assert run_deployment(id, timeout=0).id != run.id


def test_a_single_text_is_one_tag_one_secret_and_one_calendar(orion):
    schedule = Cron("0 6 * * *", calendars="holidays")
    deployment = etl.to_deployment("prod", tags="nightly", secrets="secret/db")
    etl.deploy("tagged", tags="nightly")

    run = run_deployment("etl/tagged", timeout=0, tags="adhoc")

    assert schedule.to_wire()["calendars"] == ["holidays"]
    assert (deployment.tags, deployment.secrets) == (["nightly", "shop"], ["secret/db"])
    assert set(run.tags) == {"adhoc", "nightly", "shop"}


def test_run_is_asked_for_at_a_time():
    etl.deploy("prod")
    at = datetime(2031, 1, 2, 3, tzinfo=UTC)

    run = run_deployment("etl/prod", scheduled_time=at, timeout=0)

    assert run.expected_start_time == at


def test_same_key_gives_the_same_run():
    etl.deploy("prod")

    first = run_deployment("etl/prod", idempotency_key="order-17", timeout=0)
    second = run_deployment("etl/prod", idempotency_key="order-17", timeout=0)

    assert first.id == second.id


def test_parameters_that_do_not_fit_are_refused():
    etl.deploy("prod")

    with pytest.raises(Conflict, match="'lots' is not of type 'integer'"):
        run_deployment("etl/prod", parameters={"limit": "lots"}, timeout=0)


def test_parameters_need_to_be_json():
    etl.deploy("prod")

    with pytest.raises(ParameterError, match=r"JSON can express; day \(tuple_iterator\) is not\."):
        run_deployment("etl/prod", parameters={"day": iter(())}, timeout=0)


@pytest.mark.parametrize(("name", "error"), [("etl/nothing", NotFound), ("etl", UsageError)])
def test_unknown_deployment_is_reported(name, error):
    with pytest.raises(error):
        run_deployment(name, timeout=0)


class Workplace(VirtualClock):
    """A clock under which scheduled runs are executed while somebody waits: an agent that never lets wait."""

    def __init__(self, *executed: Any) -> None:
        super().__init__()
        self.executed = {one.name: one for one in executed}

    def sleep(self, seconds: float) -> None:
        worker = threading.Thread(target=self._execute)
        worker.start()
        worker.join()
        super().sleep(seconds)

    async def sleep_async(self, seconds: float) -> None:
        await asyncio.to_thread(self._execute)
        await super().sleep_async(seconds)

    def _execute(self) -> None:
        for name, executed in self.executed.items():
            for run in flow_runs(name):
                if run.state_type == "SCHEDULED":
                    call_flow_for_run(executed, run.id, run.parameters)


@flow
def child(x: int = 1) -> int:
    if x < 0:
        raise ValueError("below zero")
    return x


@pytest.fixture
def at_work(server_here: None):
    """In a home of their own, flows are executed as soon as somebody waits for them."""
    clock = Workplace(child)
    with isolated(clock=clock):
        child.deploy("there")
        yield clock


def test_run_is_waited_for(at_work):
    run = run_deployment("child/there", parameters={"x": 5})

    assert run.state.is_completed()
    assert len(at_work.slept) == 1


def test_wait_has_an_end(at_work):
    at_work.executed.clear()

    run = run_deployment("child/there", timeout=10, poll_interval=3)

    assert run.state_name == "Scheduled"
    assert [round(seconds) for seconds in at_work.slept] == [3, 3, 3, 1]


def test_run_that_a_flow_asks_for_is_its_subflow(at_work):
    @task
    def number() -> int:
        return 4

    @flow
    def parent() -> Any:
        return run_deployment("child/there", parameters={"x": number.submit()})

    state = parent(return_state=True)

    placeholder = next(run for run in task_runs_of(state) if run.name == "there-0")
    run = flow_runs("child")[0]
    assert run.parent_task_run_id == placeholder.id
    assert run.parameters == {"x": 4}
    assert placeholder.state_type == "COMPLETED"
    assert placeholder.task_inputs["x"][0]["input_type"] == "task_run"


def test_async_flow_awaits_it(at_work):
    @flow
    async def parent() -> Any:
        return (await run_deployment("child/there")).state.is_completed()

    assert asyncio.run(parent())


def test_run_may_be_left_on_its_own(at_work):
    @flow
    def parent() -> Any:
        return run_deployment("child/there", as_subflow=False).parent_task_run_id

    assert parent() is None


def test_flow_that_is_tried_again_finds_the_run_that_it_asked_for(at_work):
    attempts = []

    @flow(retries=1)
    def parent() -> Any:
        run = run_deployment("child/there")
        attempts.append(run.id)
        if len(attempts) == 1:
            raise ValueError("once more")
        return run.state.is_completed()

    assert parent()
    assert len(set(attempts)) == 1
    assert len(flow_runs("child")) == 1


def test_flow_that_is_tried_again_asks_again_for_what_failed(at_work):
    @flow(retries=1)
    def parent() -> Any:
        return [run_deployment("child/there", parameters={"x": -1}).state.name]

    assert parent() == ["Failed"]

    @flow(retries=1)
    def strict() -> Any:
        if not run_deployment("child/there", parameters={"x": -1}).state.is_completed():
            raise ValueError("the child failed")

    assert strict(return_state=True).is_failed()
    assert len(flow_runs("child")) == 3


def test_serving_needs_a_server_and_no_queue():
    with pytest.raises(UsageError, match="orion server start"):
        etl.serve("prod")
    with pytest.raises(UsageError, match="nothing to serve"):
        serve()


def test_deployment_is_read_by_its_id(orion):
    id = etl.deploy("prod")

    assert orion.client.send(read_deployment(id)).name == "prod"


def served_queues(orion: Isolated, *named: tuple[str, str]) -> list[Any]:
    """The queues that these flows' deployments have when programs serve them one after another."""
    ids = [deploy_served(Deployment(flow_name=flow, name=name, entrypoint="f.py:f")) for flow, name in named]
    return [orion.client.send(read_deployment(id)).work_queue_name for id in ids]


@pytest.fixture
def served_pool(orion: Isolated) -> None:
    orion.client.send(create_work_pool(SERVED_POOL, "process"))


ALIKE = [("a", "b-c"), ("a-b", "c"), ("a", "b c"), ("a b", "c"), ("n" * 200, "m"), ("n" * 201, "m")]


@pytest.mark.usefixtures("served_pool")
def test_each_served_deployment_has_a_queue_of_its_own_and_keeps_it(orion):
    queues = served_queues(orion, *ALIKE)

    assert len(set(queues)) == len(ALIKE)
    assert all(re.fullmatch(r"[\w.-]{1,255}", queue) for queue in queues)
    assert served_queues(orion, *reversed(ALIKE)) == queues[::-1]


@pytest.mark.usefixtures("served_pool")
def test_the_queue_of_a_served_deployment_is_named_after_both_where_no_other_has_the_name(orion):
    etl.deploy("nightly-load", work_queue_name="serve-my-flow-nightly")

    assert served_queues(orion, ("my-flow", "nightly"), ("etl", "näch tlich"), ("etl", "prod")) == [
        "serve-my-flow-nightly",
        "serve-etl-näch-tlich",
        "serve-etl-prod",
    ]


@pytest.mark.usefixtures("served_pool")
@pytest.mark.parametrize("name", ["b-c", "näch tlich"])
def test_a_deployment_that_was_served_before_keeps_its_queue_with_what_waits_there(orion, name: str):
    """Names of queues of earlier versions could be the same for two deployments. The first one keeps its queue."""
    queue = f"serve-a-{name.replace(' ', '-')}"
    first, second = (
        Deployment(flow_name=f, name=n, entrypoint="f.py:f", work_pool_name=SERVED_POOL, work_queue_name=queue)
        for f, n in [("a", name), ("a-b", "c")]
    )
    first.apply()
    run = run_deployment(f"a/{name}", timeout=0)
    second.apply()

    assert served_queues(orion, ("a", name)) == [queue] == [run.work_queue_name]
    assert served_queues(orion, ("a-b", "c")) != [queue]
    assert served_queues(orion, ("a", name)) == [queue]


def cancel_parent_when_it_waits() -> threading.Thread:
    def cancel() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and not flow_runs("etl"):
            time.sleep(0.02)
        with OrionClient() as client:
            client.set_flow_run_state(flow_runs("waits")[0].id, Cancelling())

    thread = threading.Thread(target=cancel)
    thread.start()
    return thread


@pytest.mark.parametrize("is_async", [False, True])
def test_parent_that_waits_is_cancelled_and_takes_the_run_along(is_async: bool, server_here: None):
    if is_async:

        @flow
        async def waits() -> None:
            await run_deployment("etl/prod", poll_interval=0.1)

    else:

        @flow
        def waits() -> None:
            run_deployment("etl/prod", poll_interval=0.1)

    with isolated():
        etl.deploy("prod")
        cancelling = cancel_parent_when_it_waits()

        state = asyncio.run(waits(return_state=True)) if is_async else waits(return_state=True)
        cancelling.join()

        (elsewhere,), (parent,) = flow_runs("etl"), flow_runs("waits")
        assert state.is_cancelled()
        assert state.message == "The flow run was cancelled."
        assert elsewhere.state_name == "Cancelled"
        assert elsewhere.state.timestamp <= parent.state.timestamp
