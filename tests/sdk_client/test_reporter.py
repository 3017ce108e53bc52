"""The reporter while all is well: order, batches, answers, orders and log lines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orionflow.client import OrionClient
from orionflow.contract.ids import uuid7
from orionflow.errors import ApiUnreachable
from orionflow.reporting import Reporter
from tests.sdk_client.conftest import quick_settings
from tests.sdk_client.reports import FLOW_RUN, ids_of, line, spool_files, state, step, task_of_three_steps, wait_for
from tests.sdk_client.scripted_server import Fault, ScriptedServer, Seen, slow


def test_streamed_items_are_stored_in_order_after_the_drain(server: ScriptedServer, reporter: Reporter):
    items = [item for number in range(700) for item in task_of_three_steps(number)]

    for item in items:
        reporter.stream(item)
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)
    assert reporter.waiting == 0


def test_batches_are_bounded_and_few(server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(2_000)]

    for item in items:
        reporter.stream(item)
    reporter.drain()

    sizes = [len(seen.body["items"]) for seen in server.batches()]
    assert max(sizes) <= 500
    assert len(sizes) <= 12


def test_an_item_waits_no_longer_than_the_interval(server: ScriptedServer, reporter: Reporter):
    item = step()

    reporter.stream(item)
    wait_for(lambda: server.order)

    assert server.order == ids_of([item])


def test_asking_sends_what_is_queued_before_and_at_once(server: ScriptedServer, reporter: Reporter):
    streamed, asked = step("PENDING"), step("RUNNING")
    reporter.stream(streamed)

    reply = reporter.ask(asked).result(timeout=60)

    assert reply.is_accepted
    assert server.order == ids_of([streamed, asked])


def test_a_verdict_comes_with_its_reason_and_state(server: ScriptedServer, reporter: Reporter):
    retry = {"id": str(uuid7()), "type": "SCHEDULED", "name": "AwaitingRetry"}
    server.result_of = lambda item: {"status": "REJECT", "reason": "retry 1 of 3", "state": retry}

    reply = reporter.ask(step("FAILED")).result(timeout=60)

    assert (reply.status, reply.reason) == ("REJECT", "retry 1 of 3")
    assert reply.state is not None
    assert reply.state.name == "AwaitingRetry"


def test_a_refused_step_is_remembered_for_its_flow_run(server: ScriptedServer, reporter: Reporter):
    server.result_of = lambda item: {"status": "ABORT", "reason": "this run is over"}

    reporter.stream(step())
    reporter.drain(FLOW_RUN)

    assert [one.reason for one in reporter.refused(FLOW_RUN)] == ["this run is over"]
    assert reporter.refused(uuid7()) == []


def test_orders_for_a_flow_run_are_learnt_from_replies(server: ScriptedServer, reporter: Reporter):
    server.orders = {str(FLOW_RUN): "cancel"}

    reporter.stream(step())
    reporter.drain(FLOW_RUN)

    assert reporter.command(FLOW_RUN) == "cancel"
    assert reporter.command(uuid7()) is None


def test_a_run_that_was_stored_under_another_id_is_reported_under_that(server: ScriptedServer, reporter: Reporter):
    stored = uuid7()
    pending, running, completed = task_of_three_steps(1)
    server.result_of = lambda item: {"status": "ACCEPT", "task_run_id": str(stored)}
    reporter.ask(pending).result(timeout=60)
    server.result_of = lambda item: {"status": "ACCEPT"}

    reporter.stream(running)
    reporter.stream(completed)
    reporter.drain()

    assert [server.states[one]["task_run_id"] for one in ids_of([running, completed])] == [str(stored)] * 2


def test_the_attempt_is_named_with_every_batch(server: ScriptedServer, reporter: Reporter):
    reporter.set_epoch(FLOW_RUN, 3)

    reporter.stream(step())
    reporter.drain()

    assert server.batches()[0].body["epochs"] == {str(FLOW_RUN): 3}


def test_a_drain_waits_for_its_own_flow_run_only(server: ScriptedServer, reporter: Reporter):
    other = uuid7()
    reporter.stream(step(flow_run=FLOW_RUN))
    reporter.drain(FLOW_RUN)
    released = threading.Event()
    server.fault_of = lambda seen: Fault() if released.wait(30) else None
    reporter.stream(step(flow_run=other))

    reporter.drain(FLOW_RUN)
    waiting = reporter.waiting
    released.set()

    assert waiting == 1


def test_threads_keep_the_order_of_their_own_items(server: ScriptedServer, reporter: Reporter):
    reports = [[step() for _ in range(500)] for _ in range(6)]

    def report(items: list) -> None:
        for item in items:
            reporter.stream(item)

    threads = [threading.Thread(target=report, args=(items,)) for items in reports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reporter.drain()

    assert sorted(server.order) == sorted(one for items in reports for one in ids_of(items))
    for items in reports:
        mine = set(ids_of(items))
        assert [one for one in server.order if one in mine] == ids_of(items)


def test_log_lines_arrive_with_the_drain(server: ScriptedServer, reporter: Reporter):
    for number in range(1_200):
        reporter.log(line(f"line {number}"))

    reporter.drain(FLOW_RUN)

    assert [one["message"] for one in server.logs] == [f"line {number}" for number in range(1_200)]


def test_lines_that_no_database_takes_are_cleaned(server: ScriptedServer, reporter: Reporter):
    reporter.log(line("null \x00, surrogate \ud800, " + "long " * 20_000))

    reporter.drain()

    (message,) = [one["message"] for one in server.logs]
    assert message.startswith("null �, surrogate ?, long")
    assert message.endswith("bytes were cut off here)")
    assert len(message.encode()) < 66_000


def test_lines_beyond_the_bound_are_counted_where_they_are_missing(server: ScriptedServer):
    settings = quick_settings(logging_queue_size=10)
    reporter = Reporter(OrionClient(server.url, settings=settings), settings=settings)
    full = threading.Event()
    server.fault_of = lambda seen: full.wait(60) and None
    reporter.log(line("first"))
    wait_for(lambda: server.requests)

    for number in range(30):
        reporter.log(line(f"line {number}"))
    full.set()
    reporter.close(60)

    messages = [one["message"] for one in server.logs]
    assert messages[:10] == ["first", *(f"line {number}" for number in range(9))]
    assert messages[10].startswith("21 log lines were lost here")
    assert server.logs[10]["flow_run_id"] == str(FLOW_RUN)
    assert len(messages) == 11


def test_a_step_that_is_not_json_is_refused_and_the_others_continue(server: ScriptedServer, reporter: Reporter):
    good, bad, last = step(), step(data=object()), step()

    reporter.stream(good)
    refused = reporter.ask(bad)
    reporter.stream(last)
    reporter.drain()

    assert refused.result(timeout=60).code == "unsendable"
    assert server.order == ids_of([good, last])


def test_a_callback_of_an_answer_may_report(server: ScriptedServer, reporter: Reporter):
    following = step()

    reporter.ask(step()).add_done_callback(lambda _: reporter.stream(following))
    wait_for(lambda: len(server.order) == 2)

    assert server.order[-1] == str(following.state.id)


def test_a_closed_reporter_has_delivered_everything(server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(50)]
    for item in items:
        reporter.stream(item)

    reporter.close()

    assert server.order == ids_of(items)


def test_a_reporter_without_reports_starts_no_thread():
    before = threading.active_count()

    Reporter(OrionClient("http://127.0.0.1:9")).close()

    assert threading.active_count() == before


@pytest.mark.parametrize("force", [False, True])
def test_force_is_sent(force: bool, server: ScriptedServer, reporter: Reporter):
    item = step()
    item.force = force

    reporter.stream(item)
    reporter.drain()

    assert server.states[ids_of([item])[0]].get("force", False) is force


def test_a_state_without_details_travels_light(server: ScriptedServer, reporter: Reporter):
    item = step()
    item.state = state("RUNNING")

    reporter.stream(item)
    reporter.drain()

    assert set(server.states[ids_of([item])[0]]["state"]) == {"type", "name", "timestamp", "id"}


def test_large_items_travel_in_several_requests(server: ScriptedServer, reporter: Reporter):
    items = [step(data={"type": "literal", "value": "x" * 100_000}) for _ in range(100)]

    for item in items:
        reporter.stream(item)
    for _ in range(120):
        reporter.log(line("y" * 60_000))
    reporter.drain()

    assert server.order == ids_of(items)
    assert len(server.logs) == 120
    assert max(int(seen.headers["content-length"]) for seen in server.requests) < 5_000_000


def test_an_invalid_log_line_is_left_out(server: ScriptedServer, reporter: Reporter):
    odd = line("odd")
    odd.level = object()  # type: ignore[assignment]

    reporter.log(odd)
    reporter.log(line("even"))
    reporter.drain()

    assert [one["message"] for one in server.logs] == ["even"]


def test_what_another_thread_reports_during_the_close_is_kept_and_sent_if_the_process_goes_on(
    server: ScriptedServer, home: Path
):
    settings = quick_settings(reporting_interval_ms=60_000)
    reporter = Reporter(OrionClient(server.url, settings=settings), settings=settings)
    items = [step(), step()]

    def report_meanwhile(seen: Seen) -> None:
        server.fault_of = lambda seen: None
        reporter.stream(items[1])

    server.fault_of = report_meanwhile
    reporter.stream(items[0])
    reporter.close(60)

    assert len(spool_files(home)) == 1
    reporter.drain()
    assert server.order == ids_of(items)


def test_lines_that_another_thread_logs_during_the_close_are_sent_if_the_process_goes_on(server: ScriptedServer):
    settings = quick_settings(reporting_interval_ms=100)
    reporter = Reporter(OrionClient(server.url, settings=settings), settings=settings)

    def log_meanwhile(seen: Seen) -> None:
        server.fault_of = lambda seen: None
        reporter.log(line("late"))

    server.fault_of = log_meanwhile
    reporter.stream(step())
    reporter.close(60)

    wait_for(lambda: server.logs)
    assert [one["message"] for one in server.logs] == ["late"]
    reporter.close()


def test_reports_after_the_close_are_delivered_too(server: ScriptedServer, reporter: Reporter):
    first, second = step(), step()
    reporter.stream(first)
    reporter.close()

    reply = reporter.ask(second).result(timeout=60)

    assert reply.is_accepted
    assert server.order == ids_of([first, second])


def test_a_caller_that_stops_waiting_does_not_stop_the_others(server: ScriptedServer, reporter: Reporter):
    server.faults = [slow(0.2)]
    given_up, wanted = reporter.ask(step()), reporter.ask(step())

    given_up.cancel()

    assert wanted.result(timeout=60).is_accepted


@pytest.fixture
def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the next threads of reporters not start, as in a process that has as many as it may have."""
    start, left = threading.Thread.start, 0

    def start_or_refuse(thread: threading.Thread) -> None:
        nonlocal left
        if thread.name == "orion-reporter" and left > 0:
            left -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    def refuse(count: int) -> None:
        nonlocal left
        left = count

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
    return refuse


def test_a_thread_that_could_not_be_started_is_started_with_the_next_report(
    server: ScriptedServer, reporter: Reporter, refuse_threads: Callable[[int], None]
):
    refuse_threads(1)
    items = [step(), step()]

    reporter.stream(items[0])
    reporter.stream(items[1])
    wait_for(lambda: len(server.order) == 2)

    assert server.order == ids_of(items)


def test_a_process_that_may_start_no_threads_gets_answers_and_delivers_everything(
    server: ScriptedServer, refuse_threads: Callable[[int], None]
):
    refuse_threads(100)
    reporter = Reporter(OrionClient(server.url, settings=quick_settings()), settings=quick_settings())
    items = [step(), step(), step()]

    reporter.stream(items[0])
    answer = reporter.ask(items[1]).result(timeout=5)
    reporter.stream(items[2])
    reporter.close(5)

    assert answer.is_accepted
    assert server.order == ids_of(items)


def test_who_asks_without_threads_or_an_api_waits_no_longer_than_the_budget(
    server: ScriptedServer, refuse_threads: Callable[[int], None]
):
    refuse_threads(1000)
    settings = quick_settings(reporting_budget_seconds=0.5)
    reporter = Reporter(OrionClient(server.url, settings=settings), settings=settings)
    server.stop()

    answers = [reporter.ask(step()), reporter.ask(step())]
    with pytest.raises(ApiUnreachable):
        reporter.drain()

    assert all(isinstance(answer.exception(timeout=5), ApiUnreachable) for answer in answers)
    server.restart()
    reporter.close(5)


def test_steps_are_delivered_without_threads_when_the_api_is_back(
    server: ScriptedServer, refuse_threads: Callable[[int], None]
):
    refuse_threads(1000)
    reporter = Reporter(OrionClient(server.url, settings=quick_settings()), settings=quick_settings())
    items = [step(), step()]
    server.stop()
    threading.Timer(0.5, server.restart).start()

    reporter.stream(items[0])
    answer = reporter.ask(items[1])
    reporter.drain()
    reporter.close(5)

    assert answer.result(timeout=5).is_accepted
    assert server.order == ids_of(items)
