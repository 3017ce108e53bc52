"""Submission of task runs to their task runner, as soon as the futures among their inputs have ended.

No thread waits for inputs, so that a few slow inputs cannot block the rest of a flow.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from orionflow.engine.drivers import drive, drive_async, drive_on_loop
from orionflow.engine.event_loops import running_loop
from orionflow.engine.failures import logger_of
from orionflow.engine.forked_children import LeftByChild
from orionflow.engine.interruption import Hold, Interrupted
from orionflow.engine.run_calls import TaskCall
from orionflow.engine.task_creation import create_at_call
from orionflow.engine.task_run import report_crash, run_task
from orionflow.futures import Future


def submit(call: TaskCall) -> Future[Any]:
    """Report the run, start it when its inputs are available, and return its future."""
    flow_run, task = call.flow_run, call.task
    runs_on_flow_loop = task.is_async and flow_run.loop is not None
    # A coroutine runs on the loop of its flow; a sync flow borrows a loop.
    loop = (flow_run.loop or flow_run.own_loop().loop) if task.is_async else None
    future: Future[Any] = Future(call.id, call.name, is_async=runs_on_flow_loop, loop=loop)
    call.future = future
    call.place = flow_run.task_runner.call
    flow_run.unfinished[future] = call
    future.add_done_callback(flow_run.forget_future)
    create_at_call(call)
    pending = [] if call.inputs is None else call.inputs.pending
    if flow_run.task_runner.is_sequential:
        _run_in_order(call, pending)
    else:
        _when_ended(pending, _starter(call))
    return future


def _starter(call: TaskCall) -> Callable[[], object]:
    context = copy_context()
    if call.task.is_async:
        return lambda: _start_coroutine_if_taken(call, context)
    return lambda: _give_to_runner(call, lambda: context.run(_run_in_thread, call))


def _start_coroutine_if_taken(call: TaskCall, context: Context) -> None:
    """Start a coroutine on its loop, unless it needs a runner and that cannot be started."""
    if not call.is_abandoned and (call.place is None or _give_to_runner(call)):
        context.run(_start_coroutine, call)


def _give_to_runner(call: TaskCall, work: Callable[[], None] | None = None) -> bool:
    """Give the work of a run to its task runner, and start the runner if needed. Return False if that failed.

    The run is then reported as crashed: no other code would end it, and its flow waits for it.
    """
    try:
        runner = call.flow_run.running_task_runner()
        if work is not None:
            runner.submit(work)
    except Exception as error:
        logger_of(call).error("The task runner could not take the run: %s", error)
        report_crash(call, error)
        return False
    return True


def _run_in_order(call: TaskCall, pending: list[Future[Any]]) -> None:
    flow_run = call.flow_run
    if not call.task.is_async:
        _give_to_runner(call, lambda: copy_context().run(_run_in_thread, call))
    elif flow_run.loop is None:
        _swallow(lambda: drive_on_loop(run_task(call), flow_run))
    else:
        # The flow's own loop must not block: each coroutine starts when the previous one has ended.
        before, flow_run.last_in_order = flow_run.last_in_order, call.future
        if before is not None and not before.is_done:
            pending = [*pending, before]
        _when_ended(pending, _starter(call))


def _when_ended(pending: Sequence[Future[Any]], begin: Callable[[], object]) -> None:
    """Call `begin` when all of these have ended: now, or in the thread that ends the last of them."""
    if not pending:
        begin()
        return
    left = len(pending)
    lock = threading.Lock()

    def one_ended(_: Future[Any]) -> None:
        nonlocal left
        # Futures end in several threads, and exactly one of these is to begin the run.
        with lock:
            left -= 1
            last = left == 0
        if last:
            begin()

    for future in pending:
        future.add_done_callback(one_ended)


def _run_in_thread(call: TaskCall) -> None:
    if call.is_abandoned:
        return
    hold = call.flow_run.open[call] = Hold()
    try:
        _swallow(lambda: drive(run_task(call)))
    finally:
        # An interrupt may arrive during this call, but only once.
        with suppress(Interrupted):
            hold.close()
        call.flow_run.open.pop(call, None)


def _swallow(work: Callable[[], Any]) -> None:
    """Call work whose exceptions are already in the run's future, as no code catches them in a runner's thread."""
    try:
        work()
    except LeftByChild:
        raise
    except BaseException as error:
        # Ctrl-C arrives in the main thread. Raised in a thread of a runner, it would end that thread.
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise


def _start_coroutine(call: TaskCall) -> None:
    flow_run, loop = call.flow_run, call.flow_run.loop
    if loop is None:
        elsewhere = flow_run.own_loop().start(_run_in_coroutine(call))
        flow_run.coroutines.add(elsewhere)
        elsewhere.done.add_done_callback(lambda _: flow_run.coroutines.discard(elsewhere))
    elif loop is running_loop():
        _keep_alive(call, loop.create_task(_run_in_coroutine(call)))
    else:
        # From another thread, `create_task` would not wake the loop.
        loop.call_soon_threadsafe(lambda: _keep_alive(call, loop.create_task(_run_in_coroutine(call))))


def _keep_alive(call: TaskCall, running: asyncio.Task[None]) -> None:
    # A loop has only weak references to its tasks.
    call.flow_run.coroutines.add(running)
    running.add_done_callback(call.flow_run.coroutines.discard)


async def _run_in_coroutine(call: TaskCall) -> None:
    if call.is_abandoned:
        return
    call.flow_run.open[call] = Hold(asyncio.current_task())
    try:
        await drive_async(run_task(call))
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        # On the flow's own loop an exit or an interrupt ends the program, as it would outside of a flow.
        if isinstance(error, KeyboardInterrupt | SystemExit) and call.flow_run.loop is not None:
            raise
    finally:
        call.flow_run.open.pop(call, None)
