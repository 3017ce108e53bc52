"""The reporter while the API is slow, broken or away: nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic_core import to_json

from orionflow.client import OrionClient
from orionflow.errors import ApiError, ApiUnreachable, ServerFailed
from orionflow.reporting import Reporter
from orionflow.reporting.delivery import Delivery
from orionflow.reporting.log_buffer import LogBuffer
from orionflow.reporting.reporter import Transition
from orionflow.reporting.spool import SpoolError
from tests.sdk_client.reports import FLOW_RUN, ids_of, line, spool_files, step, stream_all, wait_for
from tests.sdk_client.scripted_server import Fault, ScriptedServer, Seen, answer, drop_after_commit, slow

MakeReporter = Callable[..., Reporter]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_batch_that_fails_in_passing_is_sent_again(status: int, server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(20)]
    server.faults = [answer(status), answer(status)]

    stream_all(reporter, items)
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)


def test_retry_after_slows_the_reporter_down(server: ScriptedServer, reporter: Reporter):
    server.faults = [answer(429, None, Retry_After="0.5")]

    reporter.stream(step())
    reporter.drain(FLOW_RUN)

    first, second = server.batches()
    assert second.at - first.at >= 0.5


def test_a_batch_whose_answer_was_lost_is_stored_once(server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(20)]
    server.faults = [drop_after_commit()]

    stream_all(reporter, items)
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)
    assert len(server.batches()) == 2


def test_a_restart_of_the_server_in_the_middle_loses_nothing(server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(900)]

    stream_all(reporter, items[:300])
    time.sleep(0.1)
    server.stop()
    stream_all(reporter, items[300:600])
    time.sleep(0.3)
    server.restart()
    stream_all(reporter, items[600:])
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)


def test_a_storm_of_faults_loses_nothing_and_keeps_the_order(server: ScriptedServer, reporter: Reporter):
    faults = [drop_after_commit(), answer(503), slow(0.02), answer(500), answer(429, None, Retry_After="0.05"), Fault()]
    server.faults = [fault for _ in range(6) for fault in faults]
    items = [step() for _ in range(1_500)]

    for start in range(0, 1_500, 100):
        stream_all(reporter, items[start : start + 100])
        time.sleep(0.02)
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)


def test_the_program_is_not_interrupted_while_the_api_is_away(server: ScriptedServer, reporter: Reporter):
    server.stop()

    stream_all(reporter, [step() for _ in range(5_000)])
    waiting = reporter.waiting
    server.restart()
    reporter.drain(FLOW_RUN)

    # All of it was taken in while nobody answered.
    assert waiting == 5_000
    assert len(server.order) == 5_000


def poison(items: list[Transition], status: int) -> Callable[[Seen], Fault | None]:
    """A server that breaks over, or does not understand, batches that hold one of these items."""
    bad = set(ids_of(items))

    def fault_of(seen: Seen) -> Fault | None:
        held = {item["state"]["id"] for item in seen.body["items"]} if "transitions" in seen.path else set()
        return answer(status, {"detail": "not like this"}) if held & bad else None

    return fault_of


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_item_that_the_api_does_not_understand_is_found_and_the_others_are_stored(
    status: int, server: ScriptedServer, reporter: Reporter
):
    items = [step() for _ in range(200)]
    bad = [items[17], items[111]]
    server.fault_of = poison(bad, status)

    stream_all(reporter, items)
    reporter.drain(FLOW_RUN)

    assert server.order == [one for one in ids_of(items) if one not in ids_of(bad)]
    assert [one.code for one in reporter.refused(FLOW_RUN)] == [f"http_{status}"] * 2
    assert len(server.batches()) < 60


def test_an_item_over_which_the_server_breaks_is_found_after_a_few_failures(server: ScriptedServer, reporter: Reporter):
    items = [step() for _ in range(40)]
    server.fault_of = poison([items[9]], 500)

    stream_all(reporter, items)
    reporter.drain(FLOW_RUN)

    assert set(server.order) == set(ids_of(items)) - set(ids_of([items[9]]))
    assert [one.code for one in reporter.refused(FLOW_RUN)] == ["http_500"]


def test_an_item_over_which_the_server_breaks_is_found_beside_one_that_it_does_not_understand(
    server: ScriptedServer, client: OrionClient
):
    items = [step() for _ in range(8)]
    encoded = [to_json({"state": {"id": one}}) for one in ids_of(items)]
    invalid, breaking = poison([items[5]], 422), poison([items[2]], 500)
    server.fault_of = lambda seen: invalid(seen) or breaking(seen)

    answers = Delivery(client).post(encoded, suspicious=True)

    codes = {2: "http_500", 5: "http_422"}
    assert [one.code for one in answers] == [codes.get(number) for number in range(8)]
    assert server.order == [one for number, one in enumerate(ids_of(items)) if number not in codes]


def test_a_server_that_breaks_over_everything_that_it_understands_is_not_the_items_fault(
    server: ScriptedServer, client: OrionClient
):
    items = [step() for _ in range(8)]
    invalid = poison([items[5]], 422)
    server.fault_of = lambda seen: invalid(seen) or answer(500)

    with pytest.raises(ServerFailed):
        Delivery(client).post([to_json({"state": {"id": one}}) for one in ids_of(items)], suspicious=True)


@pytest.mark.parametrize("status", [500, 502])
@pytest.mark.parametrize("failures", range(1, 12))
def test_items_sent_while_the_server_restarts_are_not_refused_for_that(
    server: ScriptedServer, client: OrionClient, failures: int, status: int
):
    items = [step() for _ in range(4)]
    encoded = [to_json({"state": {"id": one}}) for one in ids_of(items)]
    invalid, valid = poison([items[0]], 422), ids_of(items)[1:]
    left = [failures]

    def restarting(seen: Seen) -> Fault | None:
        fault = invalid(seen)
        if fault is None and server.order and left[0] > 0:
            left[0] -= 1
            return answer(status)
        return fault

    server.fault_of = restarting
    for _ in range(15):
        try:
            answers = Delivery(client).post(encoded, suspicious=True)
            break
        except ServerFailed:
            continue

    assert [one.code for one in answers] == ["http_422", None, None, None]
    assert set(server.order) == set(valid)


def test_a_server_that_breaks_over_everything_is_not_the_items_fault(
    server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_budget_seconds=2.0)
    server.fault_of = lambda seen: answer(500)
    items = [step() for _ in range(8)]

    stream_all(reporter, items)
    with pytest.raises(ApiUnreachable):
        reporter.drain(FLOW_RUN)

    assert reporter.waiting == 8
    assert reporter.refused(FLOW_RUN) == []


def test_a_drain_without_an_api_names_the_file_with_the_rest(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_budget_seconds=0.5)
    server.stop()
    stream_all(reporter, [step() for _ in range(3)])
    asked = reporter.ask(step())

    with pytest.raises(ApiUnreachable) as raised:
        reporter.drain(FLOW_RUN)

    (file,) = spool_files(home)
    assert str(raised.value).startswith(f"4 reported transitions could not be delivered, kept in {file}")
    assert isinstance(asked.exception(timeout=60), ApiUnreachable)
    server.restart()


def test_later_callers_do_not_wait_forever(server: ScriptedServer, reporter_with: MakeReporter):
    reporter = reporter_with(reporting_budget_seconds=0.1)
    server.stop()
    reporter.stream(step())
    with pytest.raises(ApiUnreachable):
        reporter.drain(FLOW_RUN)

    asked = reporter.ask(step())

    assert isinstance(asked.exception(timeout=60), ApiUnreachable)
    server.restart()


def test_reports_that_were_given_up_are_delivered_when_the_api_is_back(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_budget_seconds=0.3)
    items = [step() for _ in range(40)]
    server.stop()
    stream_all(reporter, items[:20])
    with pytest.raises(ApiUnreachable):
        reporter.drain(FLOW_RUN)
    stream_all(reporter, items[20:])

    server.restart()
    wait_for(lambda: reporter.waiting == 0, 20)

    assert server.order == ids_of(items)
    assert spool_files(home) == []


def test_a_wrong_key_is_reported_at_once(server: ScriptedServer, reporter: Reporter):
    server.fault_of = lambda seen: answer(401, {"detail": "who are you?"})
    reporter.stream(step())

    with pytest.raises(ApiError, match=r"who are you\?"):
        reporter.drain(FLOW_RUN)

    # A second one where the first came back before anybody waited.
    assert len(server.requests) <= 2
    server.fault_of = lambda seen: None


def test_a_drain_with_a_time_limit_keeps_it(server: ScriptedServer, reporter: Reporter):
    server.stop()
    reporter.stream(step())

    with pytest.raises(ApiUnreachable, match="1 reported transition could not be delivered"):
        reporter.drain(FLOW_RUN, timeout=0.3)

    assert server.order == []
    server.restart()


def test_a_drain_with_a_time_limit_keeps_it_while_the_api_does_not_answer(server: ScriptedServer, reporter: Reporter):
    server.fault_of = lambda seen: slow(3)
    reporter.stream(step())
    began = time.monotonic()

    with pytest.raises(ApiUnreachable, match="1 reported transition could not be delivered"):
        reporter.drain(FLOW_RUN, timeout=0.3)

    assert time.monotonic() - began < 2
    server.fault_of = lambda seen: None
    reporter.drain(FLOW_RUN)


def test_memory_is_bounded_and_a_file_takes_what_follows_in_order(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_queue_size=100, reporting_block_seconds=0.2)
    items = [step() for _ in range(1_000)]
    server.stop()

    stream_all(reporter, items[:600])
    (file,) = spool_files(home)
    kept = file.read_bytes().count(b"\n") - 1
    server.restart()
    stream_all(reporter, items[600:])
    reporter.drain(FLOW_RUN)

    assert kept == 500
    assert server.order == ids_of(items)
    assert spool_files(home) == []


def test_a_slow_api_slows_the_program_down_before_a_file_is_used(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_queue_size=100, reporting_batch_size=50)
    server.fault_of = lambda seen: slow(0.05)
    items = [step() for _ in range(500)]

    stream_all(reporter, items)
    delivered = len(server.order)
    reporter.drain(FLOW_RUN)

    # The queue of 100 let nothing in before something went out; one batch of 50 may be on its way.
    assert delivered >= 500 - 100 - 50
    assert server.order == ids_of(items)
    assert spool_files(home) == []


def spool_that_is_no_folder(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "spool").write_text("a file where the folder should be")


def test_a_disk_that_takes_nothing_is_reported_and_memory_takes_more_instead(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter, caplog: pytest.LogCaptureFixture
):
    reporter = reporter_with(reporting_queue_size=10, reporting_block_seconds=0.1)
    spool_that_is_no_folder(home)
    items = [step() for _ in range(15)]
    server.stop()

    stream_all(reporter, items)
    server.restart()
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of(items)
    assert caplog.text.count("make room there, or start the API. Until then they are kept in memory.") == 1


def test_reporting_what_neither_disk_nor_memory_can_take_raises_an_error(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_queue_size=2, reporting_block_seconds=0)
    spool_that_is_no_folder(home)
    server.stop()

    with pytest.raises(SpoolError, match=r"Reports cannot be kept in .+; make room there, or start the API"):
        stream_all(reporter, [step() for _ in range(100)])

    server.restart()


def test_log_lines_wait_for_the_api_and_are_not_repeated(server: ScriptedServer, reporter: Reporter):
    server.stop()
    reporter.log(line("kept"))
    time.sleep(0.2)
    server.restart()

    reporter.drain()

    assert [one["message"] for one in server.logs] == ["kept"]


def test_lines_left_to_a_file_while_they_are_sent_are_not_settled_again():
    buffer = LogBuffer(10)
    buffer.add(line("one"))
    buffer.add(line("two"))
    sent = buffer.head(10)
    buffer.leave()
    buffer.add(line("three"))

    buffer.settle(sent)

    assert [one.message for one in buffer.head(10).lines] == ["three"]
    assert (buffer.added, buffer.settled) == (3, 2)


def test_lines_that_come_while_warnings_beyond_the_limit_are_sent_are_neither_lost_nor_sent_first():
    buffer = LogBuffer(4)
    for number in range(6):
        buffer.add(line(f"line {number}", level=20 if number < 4 else 30))
    buffer.settle(buffer.head(3))
    sent = buffer.head(10)
    buffer.add(line("later"))

    buffer.settle(sent)

    assert [one.message for one in sent.lines] == ["line 3", "line 4", "line 5"]
    assert [one.message for one in buffer.head(10).lines] == ["later"]


def test_a_process_that_may_be_killed_or_go_on_keeps_its_lines(
    home: Path, server: ScriptedServer, reporter: Reporter, caplog: pytest.LogCaptureFixture
):
    server.faults = [slow(0.3)]
    reporter.log(line("sent slowly"))

    reporter.keep_steps_by(time.monotonic() + 0.1)
    reporter.log(line("later"))
    reporter.drain()

    assert [one["message"] for one in server.logs] == ["sent slowly", "later"]
    assert "lost" not in caplog.text


def test_a_process_that_may_be_killed_or_go_on_keeps_steps_in_a_file_and_waits_once_for_them(
    home: Path, server: ScriptedServer, reporter: Reporter
):
    items = [step(), step()]
    server.stop()
    stream_all(reporter, items)
    reporter.log(line("in memory"))

    began = time.monotonic()
    reporter.keep_steps_by(began + 0.2)
    waited = time.monotonic() - began
    kept = spool_files(home)
    reporter.keep_steps_by(time.monotonic() + 60)
    again = time.monotonic() - began - waited
    server.restart()
    reporter.drain()

    assert 0.2 <= waited < 5
    assert again < 5
    assert len(kept) == 1
    assert server.order == ids_of(items)
    assert [one["message"] for one in server.logs] == ["in memory"]
    assert spool_files(home) == []


def test_what_was_left_to_another_process_is_not_waited_for_again(
    home: Path, server: ScriptedServer, reporter: Reporter, caplog: pytest.LogCaptureFixture
):
    server.stop()
    reporter.stream(step())
    reporter.log(line("too late"))
    reporter.keep_steps_by(time.monotonic())

    reporter.deliver_by(time.monotonic() + 0.1)
    began = time.monotonic()
    reporter.deliver_by(began + 60)
    reporter.close(60)

    assert time.monotonic() - began < 5
    (messages,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "1 log line ended with this process" in messages
    assert len(spool_files(home)) == 1


def test_a_process_that_goes_on_sends_what_it_left_to_another(
    home: Path, server: ScriptedServer, reporter: Reporter, caplog: pytest.LogCaptureFixture
):
    items, came, left = [step(), step(), step()], threading.Event(), threading.Event()

    def fail_when_all_is_left(seen: Seen) -> Fault:
        came.set()
        left.wait(60)
        return answer(503)

    server.fault_of = fail_when_all_is_left
    stream_all(reporter, items[:1])
    reporter.log(line("important", level=logging.WARNING))
    # A request that began after all is left would store the line, too.
    assert came.wait(60)
    reporter.deliver_by(time.monotonic())
    stream_all(reporter, items[1:2])
    server.fault_of = lambda seen: None
    left.set()
    reporter.drain()
    stream_all(reporter, items[2:])
    reporter.drain()

    assert server.order == ids_of(items)
    assert [one["message"] for one in server.logs] == ["important"]
    assert reporter.refused(FLOW_RUN) == []
    assert spool_files(home) == []
    assert "broke" not in caplog.text


def test_a_handler_that_logs_to_a_run_while_the_reporter_complains_does_not_stop_it(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_queue_size=10, reporting_block_seconds=0.1)
    messages: list[str] = []

    class ToTheRun(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            reporter.log(line(record.getMessage()))

    handler = ToTheRun()
    logging.getLogger("orionflow.reporting").addHandler(handler)
    server.stop()
    try:
        stream_all(reporter, [step() for _ in range(30)])
    finally:
        logging.getLogger("orionflow.reporting").removeHandler(handler)
    server.restart()
    reporter.drain()

    assert messages
    assert [one["message"] for one in server.logs] == messages
