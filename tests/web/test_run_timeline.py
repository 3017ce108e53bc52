"""The timeline of a flow run: rows for tasks, bars for attempts, one row for what was mapped, subflows in place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from runs.pages.selectors import task_sums
from runs.pages.timeline import DrawnLine
from runs.why.selectors.why import why_flow_run
from tests.factories import later, make_flow_run, make_state
from tests.web.rows import NOON, add_lines, make_flow, make_run, make_task_run

SECOND = timedelta(seconds=1)


def lines_of(browser: Client, run: FlowRun, **asked) -> dict:
    answer = browser.get(f"/runs/{run.id}", {"tab": "timeline", **asked})
    return {drawn.line.name: drawn for drawn in answer.context["lines"]}


def with_history(task: TaskRun, *history: tuple[str, float]) -> TaskRun:
    """Give a task run these states, at so many seconds after noon."""
    TaskRunState.objects.filter(task_run=task).delete()
    for seq, (kind, seconds) in enumerate(history, start=1):
        TaskRunState.objects.create(
            task_run=task, seq=seq, type=kind, name=kind.capitalize(), timestamp=NOON + seconds * SECOND
        )
    return task


def test_each_attempt_is_a_bar_with_the_wait_before_it_and_the_rest_between(browser: Client):
    run = make_run()
    task = make_task_run("load-0", flow_run=run, start_time=NOON + 10 * SECOND, end_time=NOON + 60 * SECOND)
    with_history(
        task, ("PENDING", 0), ("RUNNING", 10), ("SCHEDULED", 20), ("RUNNING", 50), ("COMPLETED", 60)
    )  # fmt: skip

    bars = lines_of(browser, run)["load-0"].bars

    assert [(bar.kind, bar.state_type, bar.title) for bar in bars] == [
        ("wait", "", "waited 10 s"),
        ("work", "FAILED", "attempt 1: 10 s"),
        ("rest", "", "waited 30 s for the next attempt"),
        ("work", "COMPLETED", "attempt 2: 10 s"),
    ]
    # The run took 90 seconds.
    assert [round(bar.x) for bar in bars] == [0, 111, 222, 556]
    assert [round(bar.width) for bar in bars] == [111, 111, 333, 111]


def test_what_follows_a_pause_is_the_same_attempt(browser: Client):
    run = make_run()
    task = make_task_run("approval-0", flow_run=run, start_time=NOON, end_time=NOON + 90 * SECOND)
    with_history(
        task, ("RUNNING", 0), ("PAUSED", 10), ("RUNNING", 40), ("SCHEDULED", 50), ("RUNNING", 60), ("COMPLETED", 90)
    )  # fmt: skip

    bars = lines_of(browser, run)["approval-0"].bars

    assert [bar.title for bar in bars] == [
        "attempt 1: 10 s",
        "attempt 1 after a pause: 10 s",
        "waited 10 s for the next attempt",
        "attempt 2: 30 s",
    ]


def retried_after_a_night() -> FlowRun:
    run = make_run(end_time=NOON + timedelta(hours=8, seconds=30))
    for name, seconds in (("extract-0", 0), ("load-0", 8 * 3600)):
        begin = NOON + seconds * SECOND
        task = make_task_run(name, flow_run=run, at=begin, start_time=begin, end_time=begin + 20 * SECOND)
        with_history(task, ("RUNNING", seconds), ("COMPLETED", seconds + 20))
    return run


def test_what_a_run_left_open_takes_no_time_after_its_end(browser: Client):
    run = make_run()
    begun = make_task_run("begun", flow_run=run, state="RUNNING", start_time=NOON + 30 * SECOND)
    with_history(begun, ("PENDING", 0), ("RUNNING", 30))
    make_task_run("never", flow_run=run, state="PENDING")

    lines = lines_of(browser, run)

    bars = {name: [(bar.kind, round(bar.x), round(bar.width)) for bar in drawn.bars] for name, drawn in lines.items()}
    assert bars == {"begun": [("wait", 0, 333), ("work", 333, 667)], "never": [("wait", 0, 1000)]}
    assert lines["begun"].line.duration == 60 * SECOND


def test_a_night_in_which_nothing_ran_is_folded(browser: Client):
    run = retried_after_a_night()

    page = browser.get(f"/runs/{run.id}", {"tab": "timeline"}).content.decode()
    lines = lines_of(browser, run)

    assert "Folded at ⋯, where nothing ran: 7h 59m." in page
    assert "nothing ran for 7h 59m" in page
    # Of the 50 seconds that are drawn, 20 were before the night and 30 after it.
    assert [(round(drawn.bars[-1].x), round(drawn.bars[-1].width)) for drawn in lines.values()] == [
        (0, 388),
        (418, 388),
    ]


def test_a_folded_timeline_can_be_drawn_to_scale(browser: Client):
    run = retried_after_a_night()

    page = browser.get(f"/runs/{run.id}", {"tab": "timeline"}).content.decode()
    lines = lines_of(browser, run, scale="1")

    assert '<a href="?tab=timeline&amp;scale=1">Draw it to scale</a>' in page
    assert [round(drawn.bars[-1].x) for drawn in lines.values()] == [0, 998]


def test_each_attempt_of_a_retried_run_has_a_timeline_of_its_own(browser: Client):
    run = retried_after_a_night()
    FlowRun.objects.filter(pk=run.pk).update(run_count=2)
    FlowRunState.objects.filter(flow_run=run).delete()
    states = [("RUNNING", 0), ("FAILED", 25), ("RUNNING", 8 * 3600), ("COMPLETED", 8 * 3600 + 30)]
    for seq, (kind, seconds) in enumerate(states, start=1):
        FlowRunState.objects.create(
            flow_run=run, seq=seq, type=kind, name=kind.capitalize(), timestamp=NOON + seconds * SECOND
        )

    page = browser.get(f"/runs/{run.id}", {"tab": "timeline"}).content.decode()
    first = browser.get(f"/runs/{run.id}", {"tab": "timeline", "attempt": "1"})

    assert 'href="?tab=timeline&amp;attempt=2"' in page
    assert list(lines_of(browser, run, attempt="1")) == ["extract-0"]
    assert list(lines_of(browser, run, attempt="2")) == ["load-0"]
    assert first.context["axis"].folds == []
    assert [round(drawn.bars[-1].x) for drawn in lines_of(browser, run, attempt="2").values()] == [0]


def test_an_attempt_that_was_paused_is_one(browser: Client):
    run = make_flow_run("RUNNING", empirical_policy={"retries": 2, "retry_delay": 5})

    def move(to: str, seconds: float, **details: Any) -> str:
        state = make_state(to, **details)
        propose_flow_run_state(run_id=run.pk, proposed=state, now=later(seconds))
        page = browser.get(f"/runs/{run.id}", {"tab": "timeline"}).content.decode()
        return " ".join(page.split())

    move("PAUSED", 10, pause_timeout=later(60))
    resumed = move("RUNNING", 20)
    failed = move("FAILED", 30)
    why = why_flow_run(run_id=run.pk, now=later(31))
    retried = move("RUNNING", 40)

    assert "<dt>Attempts</dt> <dd> 1 </dd>" in resumed
    assert "<dt>Attempts</dt> <dd> 1 </dd>" in failed
    assert why is not None
    assert "Attempt 1 failed" in why.reasons[0].text
    assert "<dt>Attempts</dt> <dd> 2 </dd>" in retried
    assert "attempt=2" in retried
    assert "attempt=3" not in retried


@pytest.mark.parametrize("asked", ["0", "3", "-1", "00002", "999999", "x", "²", ""])
def test_an_attempt_that_there_is_not_shows_all_of_them(browser: Client, asked: str):
    run = retried_after_a_night()
    FlowRun.objects.filter(pk=run.pk).update(run_count=2)

    assert list(lines_of(browser, run, attempt=asked)) == ["extract-0", "load-0"]


def test_a_task_with_many_runs_is_one_row_with_their_number_and_states(browser: Client):
    run = make_run()
    make_task_run("extract-0", flow_run=run, task_key="etl.extract")
    for number in range(50):
        state = "FAILED" if number == 7 else "COMPLETED"
        make_task_run(f"transform-{number}", flow_run=run, task_key="etl.transform", state=state)

    lines = lines_of(browser, run)
    page = browser.get(f"/runs/{run.id}").content.decode()

    assert set(lines) == {"extract-0", "transform"}
    line = lines["transform"].line
    assert line.by_type == {"COMPLETED": 49, "FAILED": 1}
    assert line.number == 50
    bars = lines["transform"].bars
    assert [(bar.state_type, bar.title[:17]) for bar in bars] == [
        ("COMPLETED", "49 completed of 5"),
        ("FAILED", "1 failed of 50 ru"),
    ]
    # The colours share the height of the bar by the number of runs, and the one of few stays visible.
    assert bars[0].y + bars[0].height == pytest.approx(bars[1].y, abs=0.11)
    assert bars[1].y + bars[1].height == pytest.approx(13, abs=0.11)
    assert 2 <= bars[1].height < 3
    assert 'href="?tab=tasks&amp;task=etl.transform"' in page


def test_the_row_of_a_mapped_task_leads_to_its_task_runs(browser: Client):
    run = make_run()
    make_task_run("extract-0", flow_run=run, task_key="etl.extract")
    make_task_run("transform-0", flow_run=run, task_key="etl.transform")

    page = browser.get(f"/runs/{run.id}?task=etl.transform").content.decode()

    assert "transform-0" in page
    assert "extract-0" not in page


def test_rows_come_in_the_order_in_which_tasks_began(browser: Client):
    run = make_run()
    for name, seconds in (("third", 30), ("first", 1), ("second", 20)):
        begin = NOON + seconds * SECOND
        make_task_run(f"{name}-0", flow_run=run, task_key=name, at=begin, end_time=begin + SECOND)

    assert list(lines_of(browser, run)) == ["first-0", "second-0", "third-0"]


def test_a_run_without_task_runs_opens_its_log(browser: Client):
    assert browser.get(f"/runs/{make_run(state='RUNNING').id}").context["tab"] == "logs"


def test_a_subflow_is_linked_from_its_row(browser: Client):
    run = make_run()
    child = make_run("inner-run", parent_task_run=make_task_run("inner-0", flow_run=run))

    assert (
        f'href="/runs/{child.id}">subflow <bdi>inner-run</bdi></a>' in browser.get(f"/runs/{run.id}").content.decode()
    )


@pytest.mark.parametrize("number", [3, 300])
def test_the_timeline_takes_a_constant_number_of_queries(browser: Client, number: int, django_assert_max_num_queries):
    run = make_run()
    for one in range(number):
        make_task_run(f"load-{one}", flow_run=run, task_key=f"etl.load-{one % 3}")

    with django_assert_max_num_queries(14):
        browser.get(f"/runs/{run.id}")


def beside(browser: Client, run: FlowRun, **asked):
    answer = browser.get(f"/runs/{run.id}", {"tab": "timeline", **asked})
    return answer.context["beside"], answer.content.decode()


def test_below_the_timeline_stands_the_log_at_the_first_error(browser: Client):
    run = make_run(state="FAILED")
    task = make_task_run("load-0", flow_run=run, state="FAILED")
    add_lines(run, *[f"line {place}" for place in range(50)], task_run=task)
    add_lines(run, "disk full", level=40, task_run=task)
    Log.objects.filter(message="disk full").update(timestamp=NOON + timedelta(milliseconds=29.5))

    found, page = beside(browser, run)

    assert [line.message for line in found.log.lines[9:12]] == ["line 29", "disk full", "line 30"]
    assert "Around the error" in page


def test_a_bar_leads_to_the_lines_of_its_task_and_a_line_to_its_row(browser: Client):
    run = make_run()
    first, second = (make_task_run(name, flow_run=run, task_key=f"etl.{name}") for name in ("load-0", "save-0"))
    add_lines(run, *[f"of load {place}" for place in range(40)], task_run=first)
    add_lines(run, *[f"of save {place}" for place in range(40)], task_run=second)
    Log.objects.filter(task_run_id=second.id).update(timestamp=NOON + SECOND)

    found, page = beside(browser, run, log=str(second.id))

    marked = [line.message for line in found.log.lines if line.id in found.marked]
    assert marked == [f"of save {place}" for place in range(40)]
    assert [line.message for line in found.log.lines[:10]] == [f"of load {place}" for place in range(30, 40)]
    assert f'<tr id="row-{second.id}" class="chosen">' in page
    assert f'href="#row-{second.id}"' in page
    assert f'href="#row-{first.id}"' in page


def test_the_runs_of_a_mapped_task_share_a_row_that_their_lines_lead_to(browser: Client):
    run = make_run()
    tasks = [make_task_run(f"load-{place}", flow_run=run) for place in range(8)]
    for task in tasks:
        add_lines(run, f"of {task.name}", task_run=task)

    found, page = beside(browser, run, log="etl.load")

    assert len(found.marked) == 8
    [anchor] = set(found.rows.values())
    assert f'id="{anchor}" class="chosen"' in page


def test_a_later_attempt_leads_to_its_own_lines(browser: Client):
    run = make_run()
    task = make_task_run("load-0", flow_run=run)
    add_lines(run, "first attempt", task_run=task)
    add_lines(run, "second attempt", task_run=task)
    Log.objects.filter(message="second attempt").update(timestamp=NOON + 30 * SECOND)

    found, _ = beside(browser, run, log=str(task.id), since=(NOON + 20 * SECOND).isoformat())

    assert found.log.lines[1].message == "second attempt"
    assert found.where.at == found.log.lines[1].place


def test_a_task_without_log_lines_has_a_note(browser: Client):
    run = make_run()
    task = make_task_run("load-0", flow_run=run)
    add_lines(run, "of the flow")

    _, page = beside(browser, run, log=str(task.id))

    assert "wrote no line from there on" in page


def test_the_tasks_that_the_end_waited_for_are_marked(browser: Client):
    run = make_run()
    first = make_task_run("extract-0", flow_run=run, task_key="extract", end_time=NOON + timedelta(seconds=50))
    make_task_run("side-0", flow_run=run, task_key="side", end_time=NOON + timedelta(seconds=20))
    inputs = {"rows": [{"input_type": "task_run", "id": str(first.id)}]}
    later = {"start_time": NOON + timedelta(seconds=51), "end_time": NOON + timedelta(seconds=80)}
    make_task_run("load-0", flow_run=run, task_key="load", task_inputs=inputs, **later)

    answer = browser.get(f"/runs/{run.id}?tab=timeline")

    marked = [line.line.name for line in answer.context["lines"] if line.is_critical]
    assert sorted(marked) == ["extract-0", "load-0"]
    assert answer.content.decode().count(">critical path<") == 2


def test_the_end_of_a_run_did_not_wait_for_what_never_started(browser: Client):
    run, at_work = make_run(state="CANCELLED"), make_run(state="RUNNING")
    for one in (run, at_work):
        make_task_run("load-0", flow_run=one, task_key="load", end_time=NOON + 60 * SECOND)
        for place in range(7):
            make_task_run(f"send-{place}", flow_run=one, task_key="send", state="PENDING")
    make_task_run("save-0", flow_run=run, task_key="save", state="PENDING")
    made = {"start_time": None, "end_time": None, "expected_start_time": NOON + 65 * SECOND}
    cached = make_task_run("cached-0", flow_run=run, task_key="cached", **made)
    TaskRun.objects.filter(pk=cached.pk).update(state_timestamp=NOON + 70 * SECOND)

    marked = [[name for name, line in lines_of(browser, one).items() if line.is_critical] for one in (run, at_work)]

    assert marked == [["load-0", "cached-0"], ["send"]]


def nest(run: FlowRun, name: str) -> FlowRun:
    """A subflow with one task, called by a task run of that name."""
    caller = make_task_run(f"{name}-0", flow_run=run, task_key=name)
    child = make_run(f"{name}-run", flow=make_flow(name), parent_task_run=caller)
    step = make_task_run(f"{name}-step", flow_run=child, task_key=f"{name}.step", at=NOON + 45 * SECOND)
    with_history(step, ("RUNNING", 45), ("COMPLETED", 60))
    return child


def lines_in(answer) -> list[DrawnLine]:
    return answer.context["lines"]


def rows_of(answer) -> list[tuple[str, int]]:
    return [(drawn.line.name, drawn.line.depth) for drawn in lines_in(answer)]


def toggles_of(answer) -> dict[str, str]:
    return {drawn.line.name: drawn.toggle for drawn in answer.context["lines"] if drawn.toggle}


def test_a_subflow_is_opened_below_its_row_and_stays_open(browser: Client):
    run = make_run()
    inner = nest(run, "inner")
    deep = nest(inner, "deep")
    other = nest(make_run("stranger"), "other")

    closed = browser.get(f"/runs/{run.id}", {"tab": "timeline"})
    opened = browser.get(f"/runs/{run.id}{toggles_of(closed)['inner-0']}")
    both = browser.get(f"/runs/{run.id}?open=x,{deep.id},{inner.id},{other.id}")
    part = browser.get(f"/runs/{run.id}?tab=timeline&open={inner.id}&_f=tab").content.decode()

    assert rows_of(closed) == [("inner-0", 0)]
    assert rows_of(opened) == [("inner-0", 0), ("deep-0", 1), ("inner-step", 1)]
    assert rows_of(both) == [("inner-0", 0), ("deep-0", 1), ("deep-step", 2), ("inner-step", 1)]
    # On one axis: the run took 90 seconds.
    assert [round(drawn.bars[-1].x) for drawn in opened.context["lines"]][-1] == 500
    assert toggles_of(opened)["inner-0"] == "?tab=timeline"
    assert toggles_of(both)["deep-0"] == f"?tab=timeline&open={inner.id}"
    assert f'data-live="run:{run.id}:tasks run:{inner.id}:tasks"' in part
    assert f'href="?tab=timeline&amp;open={inner.id}&amp;log=' in part
    assert f'href="/runs/{inner.id}?tab=timeline&amp;log=' in part
    assert 'aria-expanded="true"' in part
    assert "other-step" not in both.content.decode()


def test_at_some_depth_a_subflow_only_leads_to_its_run(browser: Client):
    chain = [make_run()]
    for depth in range(6):
        chain.append(nest(chain[-1], f"level{depth}"))

    answer = browser.get(f"/runs/{chain[0].id}?open={','.join(str(one.id) for one in chain[1:])}")

    assert max(depth for _, depth in rows_of(answer)) == 4
    assert list(toggles_of(answer)) == ["level0-0", "level1-0", "level2-0", "level3-0"]
    assert f'href="/runs/{chain[5].id}">subflow' in answer.content.decode()


def test_an_opened_subflow_shows_as_many_rows_as_there_is_room(browser: Client):
    run = make_run()
    inner, idle = nest(run, "inner"), make_run("idle", parent_task_run=make_task_run("idle-0", flow_run=run))
    add_runs(inner, *(f"inner.task{number}" for number in range(60)))

    answer = browser.get(f"/runs/{run.id}?open={inner.id},{idle.id}")

    assert sum(depth for _, depth in rows_of(answer)) == 50
    page = " ".join(answer.content.decode().split())
    assert f'href="/runs/{inner.id}">11 more rows</a>' in page
    assert "has called no task" in page


def add_runs(run: FlowRun, *keys: str, lasting: float = 10, at_a_time: int = 10, **columns: Any) -> None:
    """Add completed runs that were all due at noon; so many of them ran at a time."""
    TaskRun.objects.bulk_create(
        TaskRun(
            flow_run=run,
            name=f"{key.rpartition('.')[2]}-{place}",
            task_key=key,
            dynamic_key=str(place),
            state_type="COMPLETED",
            expected_start_time=NOON,
            start_time=NOON + place // at_a_time * lasting * SECOND,
            end_time=NOON + (place // at_a_time + 1) * lasting * SECOND,
            total_run_time=lasting * SECOND,
            **columns,
        )
        for place, key in enumerate(keys)
    )


def test_a_row_of_many_runs_shows_how_many_were_at_work_and_waited(browser: Client):
    run = make_run()
    add_runs(run, *["etl.load"] * 90)
    inner = nest(run, "inner")
    add_runs(inner, *["etl.load"] * 60, at_a_time=30)

    answer = browser.get(f"/runs/{run.id}?open={inner.id}")

    bands = {(drawn.line.name, drawn.line.depth): drawn.band for drawn in answer.context["lines"] if drawn.band}
    assert bands[("load", 0)].text == "up to 10 at work at a time, up to 80 waiting"
    assert bands[("load", 0)].course == [10] * 10
    assert bands[("load", 0)].layers[1].path == "M0 13V5H1000V13Z"
    assert bands[("load", 1)].text == "up to 30 at work at a time, up to 30 waiting"
    assert bands[("load", 1)].course == [30, 30, 30, 0, 0, 0, 0, 0, 0, 0]
    page = " ".join(answer.content.decode().split())
    assert 'at work from left to right: 10, 10, 10, 10, 10, 10, 10, 10, 10, 10"' in page
    assert '<span class="muted sums">up to 10 at a time</span>' in page


def test_runs_that_are_due_in_the_last_year_have_a_timeline_too(browser: Client):
    run = make_run(state="RUNNING")
    add_runs(run, *["etl.load"] * 60, *["etl.later"] * 60)
    columns = {"state_type": "SCHEDULED", "start_time": None, "end_time": None, "total_run_time": 0 * SECOND}
    TaskRun.objects.filter(task_key="etl.later").update(
        expected_start_time=datetime(9999, 12, 30, tzinfo=UTC), **columns
    )

    lines = lines_of(browser, run)

    assert lines["load"].band.text == "up to 10 at work at a time, up to 50 waiting"
    assert lines["later"].band is None


def test_runs_that_are_not_over_do_not_count_as_the_shortest(browser: Client):
    run = make_run(state="RUNNING")
    add_runs(run, *["etl.load"] * 6)
    pending = {"state_type": "PENDING", "start_time": None, "end_time": None, "total_run_time": 0 * SECOND}
    for key, number in (("etl.load", 7), ("etl.save", 8)):
        TaskRun.objects.bulk_create(
            TaskRun(flow_run=run, name=f"{key}-x", task_key=key, dynamic_key=f"x{place}", **pending)
            for place in range(number)
        )
    make_task_run("load-c", flow_run=run, state="CANCELLED", start_time=None, total_run_time=0 * SECOND)
    make_task_run("load-r", flow_run=run, state="RUNNING", total_run_time=0 * SECOND)

    lines = lines_of(browser, run)
    page = browser.get(f"/runs/{run.id}?tab=timeline").content.decode()

    assert (lines["load"].line.shortest, lines["load"].line.longest) == (10 * SECOND, 10 * SECOND)
    assert page.count(" each</span>") == 1


def test_of_a_run_with_very_many_task_runs_some_are_read(
    browser: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
):
    for name in ("RUNS_SUMMED", "RUNS_OF_MANY"):
        monkeypatch.setattr(task_sums, name, 100)
    run = make_run()
    inner = nest(run, "inner")
    make_task_run("first-0", flow_run=run, task_key="etl.first")
    add_runs(run, *["etl.map"] * 150)
    add_runs(run, *["etl.page"] * 20)
    add_runs(inner, *["etl.map"] * 90)

    with django_assert_max_num_queries(12):
        answer = browser.get(f"/runs/{run.id}?tab=timeline&open={inner.id}")

    numbers = {
        (drawn.line.name, drawn.line.depth): (drawn.line.number, drawn.line.is_cut) for drawn in lines_in(answer)
    }
    assert numbers == {
        ("inner-0", 0): (1, False),
        ("inner-step", 1): (1, False),
        ("map", 1): (38, True),
        ("first-0", 0): (1, False),
        ("map", 0): (38, True),
        ("page", 0): (20, False),
    }
    page = " ".join(answer.content.decode().split())
    assert "× 38+</span>" in page
    assert "60+ task runs</a> finished" in page
    assert "Where a number has a +, only so many were read" in page


def test_opened_subflows_and_bands_cost_a_constant_number_of_queries(browser: Client, django_assert_max_num_queries):
    run = make_run(state="FAILED", message="ValueError: no rows")
    failed = make_task_run("load-0", flow_run=run, state="FAILED", message="ValueError: no rows")
    below = make_run("below", state="FAILED", message="ValueError: no rows", parent_task_run=failed)
    make_task_run("fetch-0", flow_run=below, state="FAILED", message="ValueError: no rows")
    opened = [nest(run, f"inner{number}") for number in range(4)]
    for one in (run, *opened):
        add_runs(one, *["etl.map"] * 60)

    with django_assert_max_num_queries(12):
        answer = browser.get(f"/runs/{run.id}?tab=timeline&open={','.join(str(one.id) for one in opened)}")

    assert sum(drawn.band is not None for drawn in answer.context["lines"]) == 5
