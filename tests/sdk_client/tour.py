"""A tour through every method of the client against a real API; run as a program in a home of its own.

python -m tests.sdk_client.tour          the API of ORION_API_URL, or the one in this process
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from orionflow import wire
from orionflow.client import AsyncOrionClient, Methods, OrionClient
from orionflow.contract.ids import environment_id, uuid7
from orionflow.states import State, StateType


def state(kind: str, **more: Any) -> State[Any]:
    return State(type=StateType(kind), name=kind.title(), id=uuid7(), timestamp=datetime.now(UTC), **more)


class Tour:
    """Calls each method once and keeps a list of those it called."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        self.called.add(name)
        return lambda *args, **kwargs: self.call(name, *args, **kwargs)

    def take(self) -> None:
        self.see_server()
        flow = self.see_flows()
        run = self.see_flow_run(flow)
        self.see_deployments(flow)
        self.see_task_run(run)
        self.see_records(run)
        self.part_with(flow, run)
        missed = {name for name in vars(Methods) if not name.startswith("_")} - self.called
        assert not missed, f"the tour missed {missed}"

    def see_server(self) -> None:
        self.check_health()
        self.check_readiness()
        assert isinstance(self.read_version(), str)
        assert isinstance(self.read_server_settings(), dict)

    def see_flows(self) -> wire.Flow:
        name = f"a tour: {uuid7()}"
        flow = self.create_flow(name, tags=["a"])
        assert self.create_flow(name).id == flow.id
        self.update_flow(flow.id, tags=["b"])
        assert self.read_flow(flow.id).tags == ["b"]
        assert self.read_flow_by_name(name).id == flow.id
        assert [one.id for one in self.read_flows(flows={"name": {"any_": [name]}}, limit=5)] == [flow.id]
        assert self.count_flows(flows={"id": {"any_": [str(flow.id)]}}) == 1
        return flow

    def see_flow_run(self, flow: wire.Flow) -> wire.FlowRun:
        run = self.create_flow_run(flow.id, parameters={"x": 1}, state=state("PENDING"), tags=["t"], name="first")
        again = self.create_flow_run(flow.id, idempotency_key=run.idempotency_key)
        assert again.id == run.id
        verdict = self.set_flow_run_state(run.id, state("RUNNING"))
        assert (verdict.status, verdict.state.type) == ("ACCEPT", StateType.RUNNING)
        self.update_flow_run(run.id, name="renamed", tags=["u"])
        read = self.read_flow_run(run.id)
        assert (read.name, read.tags, read.parameters, read.state.name) == ("renamed", ["u"], {"x": 1}, "Running")
        mine = {"id": {"any_": [str(run.id)]}}
        assert [one.id for one in self.read_flow_runs(flow_runs=mine, sort="START_TIME_DESC")] == [run.id]
        assert self.count_flow_runs(flow_runs=mine) == 1
        assert [one.name for one in self.read_flow_run_states(run.id)] == ["Pending", "Running"]
        self.see_history(self.read_flow_run_history, flow_runs=mine)
        why = self.explain_flow_run(run.id)
        assert [one.name for one in why.history] == ["Pending", "Running"]
        assert b"renamed" in self.export_flow_run(run.id)
        content = {"python": "3.11.2", "platform": "linux"}
        self.store_environment(content)
        whole = {**content, "commit": "", "files": "", "packages": {}}
        assert self.read_environment(environment_id(whole)).python == "3.11.2"
        assert self.diff_flow_runs(run.id, base=run.id).of_same_flow
        assert self.find_what_is_common(flow_runs=mine).findings == []
        assert self.read_time_of_flow_run(run.id).run_id == run.id
        assert self.read_time_of_flow_runs(hours=1).runs >= 0
        assert self.resume_flow_run(run.id).status == "ABORT"
        self.see_inputs(run)
        return read

    def see_history(self, read: Callable[..., Any], **criteria: Any) -> None:
        now = datetime.now(UTC)
        buckets = read(
            start=now - timedelta(hours=1), end=now + timedelta(hours=1), interval=timedelta(minutes=30), **criteria
        )
        assert sum(one.count_runs for bucket in buckets for one in bucket.states) == 1

    def see_inputs(self, run: wire.FlowRun) -> None:
        self.create_flow_run_input(run.id, "answer", '{"yes": true}')
        assert b"yes" in self.read_flow_run_input(run.id, "answer")
        assert [one.key for one in self.read_flow_run_inputs(run.id, "ans", limit=2)] == ["answer"]
        self.delete_flow_run_input(run.id, "answer")

    def see_deployments(self, flow: wire.Flow) -> None:
        made = self.create_deployment(flow.id, "prod", parameters={"x": 1}, work_queue_name="default")
        assert self.create_deployment(flow.id, "prod", parameters={"x": 2}).id == made.id
        self.update_deployment(made.id, description="changed")
        read = self.read_deployment(made.id)
        assert (read.description, read.parameters, read.work_queue_name) == ("changed", {"x": 2}, "default")
        # A flow's name may have anything in it but what separates names in paths.
        assert self.read_deployment_by_name(f"{flow.name}/prod").id == made.id
        mine = {"id": {"any_": [str(made.id)]}}
        assert [one.id for one in self.read_deployments(deployments=mine, sort="NAME_ASC")] == [made.id]
        assert self.count_deployments(deployments=mine) == 1
        self.pause_deployment(made.id)
        self.resume_deployment(made.id)
        run = self.create_flow_run_from_deployment(made.id, parameters={"y": 1}, tags=["t"])
        assert (run.deployment_id, run.parameters, run.state.type) == (made.id, {"x": 2, "y": 1}, StateType.SCHEDULED)
        self.delete_flow_run(run.id)
        self.delete_deployment(made.id)

    def see_task_run(self, run: wire.FlowRun) -> None:
        task = self.create_task_run(flow_run_id=run.id, task_key="tour.stop", dynamic_key="0", state=state("PENDING"))
        assert self.create_task_run(flow_run_id=run.id, task_key="tour.stop", dynamic_key="0").id == task.id
        assert self.set_task_run_state(task.id, state("RUNNING")).status == "ACCEPT"
        self.update_task_run(task.id, name="stop-0")
        assert self.read_task_run(task.id).name == "stop-0"
        mine = {"id": {"any_": [str(task.id)]}}
        assert [one.id for one in self.read_task_runs(task_runs=mine)] == [task.id]
        assert self.count_task_runs(task_runs=mine) == 1
        assert [one.name for one in self.read_task_run_states(task.id)] == ["Pending", "Running"]
        self.see_history(self.read_task_run_history, task_runs=mine)
        assert self.explain_task_run(task.id).kind
        assert [one.id for one in self.read_flow_run_dependencies(run.id)] == [task.id]
        assert [key for key, _ in self.read_flow_run_graph(run.id).nodes] == [task.id]

    def see_records(self, run: wire.FlowRun) -> None:
        line = {"name": "tour", "level": 20, "message": "here", "timestamp": datetime.now(UTC), "flow_run_id": run.id}
        self.create_logs([line])
        (log,) = self.read_logs(logs={"flow_run_id": {"any_": [str(run.id)]}})
        assert (log.message, log.level) == ("here", 20)
        artifact = self.create_artifact(key="tour", type="markdown", data="# Hi", flow_run_id=run.id)
        self.update_artifact(artifact.id, description="a greeting")
        assert self.read_artifact(artifact.id).description == "a greeting"
        assert self.read_latest_artifact("tour").id == artifact.id
        of_run = {"flow_run_id": {"any_": [str(run.id)]}}
        assert [one.id for one in self.read_artifacts(artifacts=of_run)] == [artifact.id]
        assert self.count_artifacts(artifacts=of_run) == 1
        assert artifact.id in [one.latest_id for one in self.read_latest_artifacts()]
        self.delete_artifact(artifact.id)
        self.see_searches()

    def see_searches(self) -> None:
        search = self.save_search(f"tour {uuid7()}", [])
        assert self.read_saved_search(search.id).name == search.name
        assert search.id in [one.id for one in self.read_saved_searches(limit=200)]
        self.delete_saved_search(search.id)

    def part_with(self, flow: wire.Flow, run: wire.FlowRun) -> None:
        (task,) = self.read_task_runs(flow_runs={"id": {"any_": [str(run.id)]}})
        self.delete_task_run(task.id)
        self.delete_flow_run(run.id)
        self.delete_flow(flow.id)


def main() -> None:
    client = OrionClient()
    Tour(lambda method, *args, **kwargs: getattr(client, method)(*args, **kwargs)).take()

    async def awaited(method: str, /, *args: Any, **kwargs: Any) -> Any:
        answer = getattr(AsyncOrionClient(client=client), method)(*args, **kwargs)
        assert inspect.isawaitable(answer)
        return await answer

    with asyncio.Runner() as runner:
        Tour(lambda method, *args, **kwargs: runner.run(awaited(method, *args, **kwargs))).take()
    print("the tour is over")


if __name__ == "__main__":
    main()
