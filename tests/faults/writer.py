"""A process that writes until it is killed, and says on stdout what has been acknowledged to it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from orion_site.bootstrap import ephemeral_application


def main() -> None:
    ephemeral_application()
    from orchestration.core.states import running
    from orchestration.new_runs import NewFlowRun
    from orchestration.services import propose_flow_run_state
    from runs.flow_runs.services import create_flow_run
    from runs.flows.services import create_flow

    now = datetime.now(UTC)
    flow, _ = create_flow(name="durable", now=now)
    flow_run, _ = create_flow_run(new=NewFlowRun(flow_id=flow.pk), state=running(), now=now)
    while True:
        _write_batch(flow_run.pk)
        outcome = propose_flow_run_state(run_id=flow_run.pk, proposed=running(), now=datetime.now(UTC), force=True)
        _acknowledge(outcome.state.id if outcome.state else None)


def _write_batch(flow_run_id: object) -> None:
    from orchestration.batch import TaskRunTransition, apply_task_run_transitions
    from orchestration.core.states import State, StateType
    from orchestration.new_runs import NewTaskRun
    from orionflow.contract.ids import uuid7

    items = []
    for _ in range(5):
        run_id = uuid7()
        new = NewTaskRun(task_key="t", dynamic_key=str(run_id), flow_run_id=flow_run_id)  # type: ignore[arg-type]
        for kind in (StateType.PENDING, StateType.RUNNING, StateType.COMPLETED):
            state = State(type=kind, id=uuid7(), timestamp=datetime.now(UTC))
            items.append(TaskRunTransition(run_id, new if kind is StateType.PENDING else None, state))
    done = apply_task_run_transitions(items=items, now=datetime.now(UTC), sent_at=None)
    for item in done.items:
        assert item.outcome is not None
        assert item.outcome.state is not None
        _acknowledge(item.outcome.state.id)


def _acknowledge(state_id: object) -> None:
    sys.stdout.write(f"{state_id}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
