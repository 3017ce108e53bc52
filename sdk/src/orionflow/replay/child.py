"""The process of a replay: `python -m orionflow.replay.child SPEC`, which calls the flow and reports what it observed.

It has a home of its own and no address of a server, so that nothing is recorded elsewhere. It only starts after the
user agreed: from here on, code of the capsule or of the checkout runs.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionflow.code.entrypoints import load_flow
from orionflow.engine.forked_children import LeftByChild, ParentContinues
from orionflow.engine.recorded import taking_up
from orionflow.private_files import private_opener
from orionflow.recordable import as_text
from orionflow.replay.capsule import read_capsule
from orionflow.replay.offline import go_offline
from orionflow.replay.recording import Replay, without_earnest
from orionflow.replay.records import read_records
from orionflow.task_runners import ConcurrentTaskRunner, SequentialTaskRunner

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.states import State


def main(spec_file: str) -> None:
    """Call the flow that the file describes, and write the report where the file says."""
    spec: dict[str, Any] = json.loads(Path(spec_file).read_bytes())
    # Before any code of the flow is loaded.
    if spec["offline"]:
        go_offline()
    records = read_records(read_capsule(Path(spec["capsule"])))
    replay = Replay(
        records, Path(spec["results"]), frozenset(spec["chosen"]), debugged=spec["debugged"], until=spec["until"]
    )
    report: dict[str, Any] = {"state": None, "error": ""}
    try:
        with ParentContinues():
            flow = load_flow(spec["entrypoint"], Path(spec["folder"]))
            state = _called(_in_replay(flow, is_debugged=spec["debugged"] is not None), replay, spec["parameters"])
        report |= {"state": state.type.value, "name": state.name, "message": state.message}
    except LeftByChild as left:
        # A process that the flow forked must not write the report of its parent.
        raise left.reason from None
    except BaseException as error:
        # Whatever ends the flow is part of the report, SystemExit and Ctrl-C too.
        report["error"] = f"{type(error).__name__}: {as_text(error)}"
        if not isinstance(error, KeyboardInterrupt | SystemExit):
            traceback.print_exc()
    report |= {"seen": replay.report(), "is_over": replay.is_over}
    with open(spec["report"], "w", encoding="utf-8", errors="replace", opener=private_opener) as file:
        json.dump(report, file)


def _in_replay(flow: Flow[Any, Any], *, is_debugged: bool) -> Flow[Any, Any]:
    """Return the flow without retries, time limits and hooks, and with its tasks in this process."""
    runner = flow.task_runner
    if is_debugged:
        runner = SequentialTaskRunner()
    elif not isinstance(runner, ConcurrentTaskRunner | SequentialTaskRunner):
        runner = ConcurrentTaskRunner()
    return without_earnest(flow).with_options(task_runner=runner)


def _called(flow: Flow[Any, Any], replay: Replay, parameters: dict[str, Any]) -> State[Any]:
    with taking_up(replay.source()):
        outcome: Any = flow(**parameters, return_state=True)
        state: State[Any] = asyncio.run(_awaited(outcome)) if inspect.iscoroutine(outcome) else outcome
        return state


async def _awaited(outcome: Any) -> Any:
    return await outcome


if __name__ == "__main__":
    main(sys.argv[1])
