"""Leftovers: reports that a process could not deliver, sent by a later one, or behind what was reported before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orionflow.attempt import Attempt
from orionflow.client import Call
from orionflow.errors import ApiUnreachable
from orionflow.reporting import Reporter, close_reporters, get_reporter, replay_leftovers, spool
from orionflow.settings import override_settings
from tests.sdk_client.reports import FLOW_RUN, ids_of, spool_files, step, stream_all, wait_for
from tests.sdk_client.scripted_server import ScriptedServer, answer

MakeReporter = Callable[..., Reporter]


def test_reports_left_at_the_end_are_sent_by_the_next_process(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with()
    reporter.set_epoch(FLOW_RUN, 7)
    items = [step() for _ in range(30)]
    server.stop()
    stream_all(reporter, items)
    reporter.close(0.2)
    server.restart()

    with override_settings(api_url=server.url):
        sent = replay_leftovers()

    assert sent == 30
    assert server.order == ids_of(items)
    assert server.batches()[-1].body["epochs"] == {str(FLOW_RUN): 7}
    assert spool_files(home) == []


@pytest.fixture
def begin(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Have this process be an attempt of the flow run, or no attempt at all."""

    def begun(epoch: int | None) -> None:
        now = None if epoch is None else Attempt(FLOW_RUN, epoch, server.url)
        monkeypatch.setattr("orionflow.attempt._current", now)

    return begun


@pytest.mark.parametrize(("wrote", "replays"), [(7, None), (7, 8), (None, 8)])
def test_leftovers_are_sent_on_behalf_of_their_attempt(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter, begin: Callable[[int | None], None],
    wrote: int | None, replays: int | None,
):  # fmt: skip
    """Its flow run may have ended. Leftovers of a replaced attempt are refused."""
    begin(wrote)
    reporter = reporter_with()
    server.stop()
    reporter.stream(step())
    reporter.keep(Call("POST", "/flow_runs/1/set_state", {"state": "final"}), FLOW_RUN)
    reporter.forget(FLOW_RUN)
    reporter.close(0.1)
    server.restart()

    begin(replays)
    with override_settings(api_url=server.url):
        assert replay_leftovers() == 2

    named = [(seen.headers.get("orion-run-id"), seen.headers.get("orion-run-epoch")) for seen in server.requests]
    assert named == [(str(FLOW_RUN), "7") if wrote else (None, None)] * 2
    assert spool_files(home) == []


def test_leftovers_for_another_api_are_left_alone(home: Path, server: ScriptedServer, reporter_with: MakeReporter):
    reporter = reporter_with()
    server.stop()
    reporter.stream(step())
    reporter.close(0.1)
    server.restart()

    with override_settings(api_url="http://127.0.0.1:9/api"):
        sent = replay_leftovers()

    assert sent == 0
    assert len(spool_files(home)) == 1


def test_the_file_of_a_living_process_is_left_alone(home: Path, server: ScriptedServer, reporter_with: MakeReporter):
    reporter = reporter_with(reporting_budget_seconds=0.1)
    server.stop()
    reporter.stream(step())
    with pytest.raises(ApiUnreachable):
        reporter.drain(FLOW_RUN)
    server.restart()

    with override_settings(api_url=server.url):
        sent = replay_leftovers()

    assert sent == 0


def test_a_leftover_whose_last_line_was_cut_off_is_sent_without_it(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with()
    items = [step() for _ in range(3)]
    server.stop()
    stream_all(reporter, items)
    reporter.close(0.1)
    server.restart()
    (file,) = spool_files(home)
    file.write_bytes(file.read_bytes()[:-20])

    with override_settings(api_url=server.url):
        sent = replay_leftovers()

    assert sent == 2
    assert server.order == ids_of(items[:2])


def test_a_kept_call_is_sent_after_all_that_was_reported_before_it(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter
):
    reporter = reporter_with(reporting_budget_seconds=0.2)
    items = [step() for _ in range(6)]
    server.stop()
    stream_all(reporter, items[:3])
    with pytest.raises(ApiUnreachable):
        reporter.drain(FLOW_RUN)
    reporter.keep(
        Call("POST", "/flow_runs/1/set_state", {"state": "final"}, headers={"Orion-Proposal-Id": "x"}), FLOW_RUN
    )
    stream_all(reporter, items[3:])

    server.restart()
    wait_for(lambda: reporter.waiting == 0, 20)

    sent = [(seen.path[4:], seen.headers.get("orion-proposal-id")) for seen in server.requests]
    assert sent == [("/task_runs/transitions", None), ("/flow_runs/1/set_state", "x"), ("/task_runs/transitions", None)]
    assert server.order == ids_of(items)


def test_a_kept_call_outlives_its_process(home: Path, server: ScriptedServer, reporter_with: MakeReporter):
    reporter = reporter_with()
    server.stop()
    reporter.stream(step())
    reporter.keep(Call("POST", "/flow_runs/1/set_state", {"state": "final"}), FLOW_RUN)
    reporter.close(0.1)
    server.restart()

    with override_settings(api_url=server.url):
        sent = replay_leftovers()

    assert sent == 2
    assert (server.requests[-1].path, server.requests[-1].body) == ("/api/flow_runs/1/set_state", {"state": "final"})


def test_a_kept_call_that_is_refused_stops_nothing(server: ScriptedServer, reporter: Reporter):
    item = step()
    server.fault_of = lambda seen: answer(404, {"detail": "gone"}) if "set_state" in seen.path else None

    reporter.keep(Call("POST", "/flow_runs/1/set_state", {}), FLOW_RUN)
    reporter.stream(item)
    reporter.drain(FLOW_RUN)

    assert server.order == ids_of([item])
    assert [one.code for one in reporter.refused(FLOW_RUN)] == ["http_404"]


def test_a_file_that_another_process_takes_for_an_empty_one_as_it_is_created_is_created_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    lock, claimed = spool.lock, []

    def claim_first(file: Any, **options: Any) -> bool:
        if not claimed:
            claimed.append(file)
            claimed.extend(spool.leftovers(spool.spool_folder(home)))
        return lock(file, **options)

    monkeypatch.setattr(spool, "lock", claim_first)

    file = spool.SpoolFile(spool.spool_folder(home), "http://127.0.0.1:1/api")
    file.append([b"{}\n"])
    file.close()

    (left,) = spool.leftovers(spool.spool_folder(home))
    assert list(left.lines()) == [b"{}\n"]
    left.close()


def test_leftovers_wait_if_the_process_may_start_no_thread_for_them(
    home: Path, server: ScriptedServer, reporter_with: MakeReporter, monkeypatch: pytest.MonkeyPatch
):
    reporter = reporter_with()
    server.stop()
    reporter.stream(step())
    reporter.close(0.1)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with override_settings(api_url=server.url):
        with monkeypatch.context() as without_threads:
            without_threads.setattr(threading.Thread, "start", refuse)
            get_reporter()
        close_reporters()

    assert len(spool_files(home)) == 1
