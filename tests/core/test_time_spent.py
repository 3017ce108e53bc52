"""Where a run's time went: each moment once, whatever states the run was in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.states import StateType
from runs.time_spent.core.critical import Step, critical_path
from runs.time_spent.core.limits import Holder, full_times
from runs.time_spent.core.stretches import WORDS, Held, Passage, begin_of, merged, shares, stretches

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def passage(state: str, seconds: float, name: str = "", scheduled: float | None = None) -> Passage:
    return Passage(
        StateType(state), name or state.capitalize(), at(seconds), None if scheduled is None else at(scheduled)
    )


def seconds_by_kind(found) -> list[tuple[str, float]]:
    return [(one.kind, one.lasted.total_seconds()) for one in found]


def test_the_life_of_a_deployed_run_is_divided_into_its_waits_and_its_work():
    found = stretches(
        due=at(100),
        passages=[
            passage("SCHEDULED", 0, scheduled=100),
            passage("SCHEDULED", 115, "Late", scheduled=100),
            passage("PENDING", 130),
            passage("RUNNING", 133),
            passage("COMPLETED", 200),
        ],
        until=at(200),
        working=[(at(140), at(190))],
    )

    assert seconds_by_kind(found) == [("queue", 30), ("startup", 3), ("idle", 7), ("work", 50), ("idle", 10)]


def test_a_flow_without_tasks_works_while_it_runs():
    found = stretches(due=None, passages=[passage("RUNNING", 0), passage("FAILED", 5)], until=at(5))

    assert seconds_by_kind(found) == [("work", 5)]


def test_retries_pauses_and_second_lives_have_names_of_their_own():
    found = stretches(
        due=at(0),
        passages=[
            passage("PENDING", 0),
            passage("RUNNING", 1),
            passage("SCHEDULED", 11, "AwaitingRetry", scheduled=41),
            passage("RUNNING", 42),
            passage("PAUSED", 50),
            passage("RUNNING", 60),
            passage("FAILED", 70),
            passage("SCHEDULED", 170, scheduled=180),
            passage("PENDING", 185),
            passage("RUNNING", 186),
            passage("CANCELLING", 190),
            passage("CANCELLED", 195),
        ],
        until=at(195),
    )

    assert seconds_by_kind(found) == [
        ("startup", 1), ("work", 10), ("retry", 30), ("queue", 1), ("work", 8), ("pause", 10), ("work", 10),
        ("over", 100), ("schedule", 10), ("queue", 5), ("startup", 1), ("work", 4), ("stopping", 5),
    ]  # fmt: skip


def test_a_run_that_was_taken_up_early_begins_when_it_was_taken():
    found = stretches(
        due=at(100),
        passages=[passage("SCHEDULED", 0, scheduled=100), passage("PENDING", 40), passage("RUNNING", 41)],
        until=at(50),
    )

    assert seconds_by_kind(found) == [("startup", 1), ("work", 9)]


def test_a_wait_for_a_full_limit_names_it_and_who_held_it():
    holder = uuid4()
    held = full_times("queue slow", 1, [Holder(holder, "otter", at(-60), at(20))], at(0), at(30))

    found = stretches(
        due=at(0), passages=[passage("SCHEDULED", 0, scheduled=0), passage("PENDING", 30)], until=at(31), held=held
    )

    assert seconds_by_kind(found) == [("limit", 20), ("queue", 10), ("startup", 1)]
    assert (found[0].name, found[0].holder_id, found[0].holder) == ("queue slow", holder, "otter")


def test_what_holds_up_tasks_explains_the_times_in_which_none_runs():
    found = stretches(
        due=at(0),
        passages=[passage("RUNNING", 0), passage("COMPLETED", 100)],
        until=at(100),
        working=[(at(10), at(20)), (at(60), at(90))],
        held_tasks=[Held("retry", at(15), at(40)), Held("limit", at(40), at(55), "tag db")],
    )

    assert seconds_by_kind(found) == [
        ("idle", 10),
        ("work", 10),
        ("retry", 20),
        ("limit", 15),
        ("idle", 5),
        ("work", 30),
        ("idle", 10),
    ]
    assert [(one.words, one.lasted.total_seconds()) for one in shares(found)] == [
        ("Waited for a slot of tag db", 15),
        ("Worked", 40),
        ("Ran no task", 25),
        ("Waited for a retry", 20),
    ]


def test_a_limit_is_full_only_while_all_its_slots_are_taken():
    holders = [
        Holder(uuid4(), "a", at(0), at(50)),
        Holder(uuid4(), "b", at(20), at(40)),
        Holder(uuid4(), "c", at(41), at(60)),
    ]

    found = full_times("pool p", 2, holders, at(0), at(100))

    # The slot between 40 and 41 was free for a moment only.
    assert [(one.begin, one.end, one.holder) for one in found] == [(at(20), at(50), "a")]


moments = st.integers(-100, 400)
names = st.sampled_from(["", "Late", "AwaitingRetry"])
histories = st.lists(
    st.tuples(st.sampled_from(list(StateType)), names, moments, st.none() | moments), min_size=1, max_size=12
)
times = st.lists(st.tuples(moments, moments), max_size=8)


@given(histories, st.none() | moments, moments, st.none() | times, times, times)
def test_the_parts_are_the_whole_without_gap_or_overlap(history, due, until, working, full, waits):
    passages = [passage(state.value, second, name, scheduled) for state, name, second, scheduled in history]

    found = stretches(
        due=None if due is None else at(due),
        passages=passages,
        until=at(until),
        working=None if working is None else merged((at(a), at(b)) for a, b in working),
        held=[Held("limit", at(a), at(b), "x") for a, b in full],
        held_tasks=[Held("retry", at(a), at(b)) for a, b in waits],
    )

    whole = max(at(until) - begin_of(None if due is None else at(due), passages), timedelta())
    assert sum((one.lasted for one in found), timedelta()) == whole
    assert sum((one.lasted for one in shares(found)), timedelta()) == whole
    if found:
        assert all(one.end == other.begin for one, other in zip(found, found[1:], strict=False))
        assert all(one.lasted > timedelta() and one.kind in WORDS for one in found)
        assert found[-1].end == at(until)


def step(id: int, begin: float, end: float, *upstream: int) -> Step:
    return Step(str(id), at(begin), at(end), [str(one) for one in upstream])


def path(*steps: Step) -> list[int]:
    return [int(one) for one in critical_path(steps)]


def test_the_critical_path_goes_back_along_the_inputs_that_came_last():
    assert path(step(1, 0, 10), step(2, 0, 30), step(3, 30, 40, 1, 2), step(4, 0, 35)) == [2, 3]


def test_steps_without_inputs_waited_for_the_one_before_them():
    assert path(step(1, 0, 10), step(2, 11, 20), step(3, 5, 12), step(4, 21, 30)) == [1, 2, 4]


def test_steps_at_the_same_time_are_no_path():
    assert path(step(1, 0, 10), step(2, 0, 20)) == [2]
    assert path() == []


@given(st.lists(st.tuples(moments, moments, st.lists(st.integers(0, 9), max_size=3)), max_size=10))
def test_a_path_ends_with_the_last_end_and_repeats_nothing(rows):
    steps = [step(number, min(a, b), max(a, b), *upstream) for number, (a, b, upstream) in enumerate(rows)]

    found = critical_path(steps)

    assert len(set(found)) == len(found)
    if steps:
        assert max(one.end for one in steps) == next(one.end for one in steps if one.id == found[-1])
