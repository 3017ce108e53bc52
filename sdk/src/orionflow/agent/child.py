"""One run, in the process that was started for it: fetch the code, load the flow, run it, report its end.

Forked by the launcher, or started as `python -m orionflow.agent.child` with its order on stdin if the run needs another
interpreter.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow.attempt import Attempt, Limit, begin_attempt
from orionflow.client.transport import may_pass
from orionflow.engine.forked_children import LeftByChild, ParentContinues
from orionflow.errors import ApiError, CodeUnavailable, OrchestrationRefused

if TYPE_CHECKING:
    from orionflow.flows import Flow
    from orionflow.states import State
    from orionflow.wire import FlowRun

REPORT_VARIABLE = "ORION_AGENT_REPORT"
REPORT_MARK = "orion-report "
RUN_VARIABLE = "ORION_FLOW_RUN_ID"
# The shortest time in seconds that an agent waits before it kills.
WHY_SECONDS = 2.0
# Seconds. A run that was claimed earlier is read again before any user code is loaded.
A_MOMENT_SECONDS = 0.5
OUR_MODULES = ("orionflow", "importlib", "_frozen_importlib")
Order = dict[str, Any]


def load_everything() -> None:
    """Import what runs need, and build the validators of the answers that each of them reads.

    A module that is missing here is imported by every run before it starts.
    """
    import asyncio  # noqa: F401
    import concurrent.futures.thread  # noqa: F401
    import encodings.ascii
    import encodings.utf_8_sig  # noqa: F401

    import requests  # noqa: F401

    import orionflow
    import orionflow.agent.rehearsal
    import orionflow.client.ephemeral_adapter
    import orionflow.code.entrypoints
    import orionflow.engine.invoke
    import orionflow.logging
    import orionflow.settings.profiles
    import orionflow.settings.stored_keys
    import orionflow.storage
    import orionflow.task_runners.threads  # noqa: F401
    from orionflow.wire import Flow, FlowRun, OrchestrationResult, TaskRun, prepare_for

    prepare_for(Flow, FlowRun, TaskRun, OrchestrationResult)


def execute(order: Order) -> None:
    """Run the flow as this attempt. Return when its end was reported; the agent reports any other end."""
    try:
        with ParentContinues():
            _enter(order)
            state = _run(order)
    except LeftByChild as left:
        raise left.reason from None
    except BaseException as error:
        report({"error": _words(error), "is_out_of_touch": isinstance(error, ApiError) and may_pass(error)})
        raise
    # Short enough for one datagram, of which the launcher reads 64 kB.
    message = (state.message or "")[:2000]
    report({"type": state.type.value, "name": state.name, "message": message})


def _enter(order: Order) -> None:
    os.environ.update(order["env"])
    os.environ[RUN_VARIABLE] = order["flow_run_id"]
    if location := order["deployment"].get("result_storage"):
        # A location in the job variables takes precedence.
        os.environ.setdefault("ORION_RESULTS_STORAGE", location)
    sys.argv = [order["deployment"].get("entrypoint") or order["flow_name"]]
    note = Path(order["note"]) if order["note"] else None
    limit = None if note else Limit.read(order["limit"])
    run_id = UUID(order["flow_run_id"])
    ask_why = None if note else lambda: _why_stopped(run_id)
    begin_attempt(Attempt(run_id, order["epoch"], order["api_url"], note, limit, ask_why))


def _why_stopped(run_id: UUID) -> str:
    """Return why a container is asked to end: the API knows whether its run was cancelled, the agent the rest."""
    from orionflow.calls.flow_runs import read_flow_run
    from orionflow.client import OrionClient
    from orionflow.settings import current_settings

    try:
        settings = replace(current_settings(), api_read_timeout_seconds=WHY_SECONDS)
        run = OrionClient(retry_budget_seconds=0, settings=settings).send(read_flow_run(run_id))
        if run.state is not None and run.state.type.value in ("CANCELLING", "CANCELLED"):
            return "cancelled"
    except ApiError as error:
        logging.getLogger("orionflow.agent").debug("Why the container ends is not known. %s", error)
    return "its container was stopped from outside, as when its pod is evicted or its node drained"


def _run(order: Order) -> State[Any]:
    from orionflow.calls.flow_runs import read_flow_run
    from orionflow.engine.invoke import call_flow_for_run
    from orionflow.reporting import get_reporter

    run_id = UUID(order["flow_run_id"])
    reporter = get_reporter()
    reporter.set_epoch(run_id, order["epoch"])
    run = _claimed_a_moment_ago(order) or reporter.client.send(read_flow_run(run_id))
    if run.state is None or not run.state.is_pending():
        # The run may have been cancelled while the process started. No user code has been touched yet.
        raise OrchestrationRefused(f"The run is {run.state_name or 'without a state'}, so it does not begin here.")
    try:
        with ParentContinues():
            flow = _load(order)
    except (Exception, SystemExit) as error:
        return _fail(order, error)
    if flow.crash_retries:
        report({"is_tried_again": True})
    return call_flow_for_run(flow, run_id, run.parameters, run)


def _claimed_a_moment_ago(order: Order) -> FlowRun | None:
    """Return the run from its claim, if that is recent: reading it again would show nothing new."""
    from orionflow.wire import FlowRun, read_answer

    claimed = order.get("claimed")
    if claimed is None or time.monotonic() - claimed["at"] > A_MOMENT_SECONDS:
        return None
    run: FlowRun = read_answer(FlowRun, claimed["run"].encode())
    return run


def _load(order: Order) -> Flow[Any, Any]:
    from orionflow.code.entrypoints import load_flow
    from orionflow.storage import fetch

    deployment = order["deployment"]
    if not deployment.get("entrypoint"):
        raise CodeUnavailable(
            f"The deployment {deployment.get('name')!r} of flow {order['flow_name']!r} does not say where its code is; "
            "deploy it again with an entrypoint such as flows.py:etl."
        )
    folder = fetch(deployment, Path(order["code_folder"]))
    _go_to(order.get("working_dir") or folder)
    return load_flow(deployment["entrypoint"], folder)


def _go_to(folder: str | Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise CodeUnavailable(f"The working directory {str(folder)!r} cannot be entered: {error.strerror}.") from error


def _fail(order: Order, error: BaseException) -> State[Any]:
    """Report that the flow could not be loaded. The code is at fault, so another try would fail again."""
    from orionflow.calls.flow_runs import set_flow_run_state
    from orionflow.contract.ids import uuid7
    from orionflow.logging import logger_for_flow_run
    from orionflow.reporting import get_reporter
    from orionflow.states import Failed

    run_id, reporter = UUID(order["flow_run_id"]), get_reporter()
    logger = logger_for_flow_run(run_id, order["name"], order["flow_name"])
    logger.log(logging.ERROR, "The flow cannot be loaded. %s", _words(error), exc_info=_of_the_user(error))
    state: State[Any] = Failed(message=f"The flow could not be loaded. {_words(error)}", id=uuid7())
    reporter.drain(run_id)
    result = reporter.client.send(set_flow_run_state(run_id, state, epoch=order["epoch"]))
    return result.state or state


def _of_the_user(error: BaseException) -> BaseException | None:
    """Return the exception that the user's code raised, without Orion's frames; None if the message says everything."""
    cause = error.__cause__ if isinstance(error, CodeUnavailable) else error
    if cause is None:
        return None
    trace = cause.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(OUR_MODULES):
        trace = trace.tb_next
    return cause.with_traceback(trace)


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"The code ended the process with code {0 if error.code is None else error.code}."
    return str(error)[:2000] if isinstance(error, CodeUnavailable) else f"{type(error).__name__}: {error}"[:2000]


def report(what: dict[str, Any]) -> None:
    """Send the agent a report through the launcher. A process that dies without one has crashed.

    In a container a report is a line on stderr, or a file that the cluster shows when the container ends.
    """
    descriptor, _, key = os.environ.get(REPORT_VARIABLE, "").partition(":")
    if descriptor == "stderr":
        print(REPORT_MARK + json.dumps(what), file=sys.__stderr__, flush=True)
    elif descriptor == "file":
        # A cluster shows at most four kilobytes.
        short = {name: value[:1000] if isinstance(value, str) else value for name, value in what.items()}
        with suppress(OSError):
            Path(key).write_text(json.dumps(short, ensure_ascii=False), encoding="utf-8")
    elif descriptor:
        # A duplicate, because closing it must leave the descriptor open: a process may report twice.
        with socket.socket(fileno=os.dup(int(descriptor))) as reports:
            reports.send(key.encode() + b"\n" + json.dumps(what).encode())


def main() -> None:
    order = json.load(sys.stdin)
    # Runs have an empty stdin, and not the file with the order.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    execute(order)


if __name__ == "__main__":
    main()
