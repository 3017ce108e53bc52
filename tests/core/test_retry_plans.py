"""Which calls of a finished run would run again: the reasoning alone, without rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from runs.retries.core import SET_ASIDE, Call, CallsByName, Cause, Recorded, failed_calls, plan_of
from tests.core.worlds import NOON
from tests.rounds import examples

ROOT, CHILD = UUID(int=1 << 100), UUID(int=2 << 100)


def call(number: int, *upstream: int, run: UUID = ROOT, state: str = "COMPLETED", **fields: object) -> Call:
    """Call number so many, which ended before the next one was made."""
    given = {
        "key": f"outer.<locals>.step{number}-0a1b2c3d",
        "dynamic_key": f"{number:040x}-0",
        "name": f"step{number}-0",
        "has_result": state == "COMPLETED",
        "end": NOON + timedelta(seconds=number),
        "lasted": timedelta(seconds=1),
        **fields,
    }
    return Call(
        id=UUID(int=number * 10),
        flow_run_id=run,
        state_id=UUID(int=number * 10 + 5),
        state_type=state,
        upstream=[UUID(int=one * 10) for one in upstream],
        **given,  # type: ignore[arg-type]
    )


def number_of(call: Call) -> int:
    return int(call.name.removeprefix("step").partition("-")[0])


def causes(calls: list[Call], *chosen: int, inner: Sequence[Call] = ()) -> dict[int, Cause]:
    tree = {ROOT: Recorded(calls), CHILD: Recorded(inner)}
    plan = plan_of(tree, ROOT, {UUID(int=one * 10) for one in chosen}, NOON)
    again = {number_of(one): cause for one, cause in plan.again}
    assert again.keys().isdisjoint(number_of(one) for one in plan.reused)
    assert len(again) + len(plan.reused) <= len(calls) + len(inner)
    return again


def test_all_descendants_of_the_chosen_call_run_again():
    calls = [call(1), call(2, 1), call(3, 2), call(4, 1), call(5, 3, 4)]

    assert causes(calls, 2) == {2: Cause.CHOSEN, 3: Cause.DEPENDS, 5: Cause.DEPENDS}


def test_who_takes_input_from_what_only_lacks_a_result_is_left_to_the_comparison_of_inputs():
    calls = [call(1, has_result=False), call(2, 1), call(3)]

    assert causes(calls, 3) == {1: Cause.UNSTORED, 3: Cause.CHOSEN}


def test_a_result_that_repeats_no_change_of_arguments_is_not_called_missing():
    calls = [call(1, has_result=False, changed_inputs=True), call(2, state="FAILED", changed_inputs=True), call(3)]

    assert causes(calls, 3) == {1: Cause.CHANGED, 2: Cause.UNFINISHED, 3: Cause.CHOSEN}


def test_a_call_by_number_is_reused_if_it_was_made_before_anything_that_runs_again_ended():
    calls = [call(1, dynamic_key="0"), call(2), call(3, dynamic_key="1"), call(4)]

    assert causes(calls, 2) == {2: Cause.CHOSEN, 3: Cause.UNKNOWN}
    # Submitted while the chosen one ran.
    calls[2] = replace(calls[2], id=UUID(int=22))
    assert causes(calls, 2) == {2: Cause.CHOSEN}


def test_a_nested_run_with_a_chosen_task_is_entered_and_one_that_runs_again_runs_as_a_whole():
    inner = [call(11, run=CHILD), call(12, 11, run=CHILD), call(13, run=CHILD)]
    calls = [call(1), call(2, 1, child_id=CHILD), call(3, 2)]

    assert causes(calls, 12, inner=inner) == {2: Cause.INSIDE, 3: Cause.DEPENDS, 12: Cause.CHOSEN}
    assert causes(calls, 1, inner=inner) == {
        1: Cause.CHOSEN,
        2: Cause.DEPENDS,
        3: Cause.DEPENDS,
        **dict.fromkeys((11, 12, 13), Cause.INSIDE),
    }


def test_only_what_has_a_state_to_leave_alone_is_set_aside():
    calls = [call(1, state="FAILED"), call(2), call(3, 2), call(4, expires=NOON)]

    plan = plan_of({ROOT: Recorded(calls)}, ROOT, {calls[1].id}, NOON)

    assert plan.set_aside == [calls[1].state_id, calls[2].state_id, calls[3].state_id]
    assert {cause for _, cause in plan.again} - SET_ASIDE == {Cause.UNFINISHED}


def test_a_task_is_meant_by_its_name_its_key_or_one_of_its_runs():
    calls = [call(1, name="load-0"), call(2, name="load-1"), call(3, name="load-1-2", state="FAILED")]
    tree = {ROOT: Recorded(calls)}
    by_name = CallsByName(tree)

    assert by_name.meant_by("load") == calls[:2]
    assert by_name.meant_by("load-1") == calls[1:2]
    assert (
        by_name.meant_by("step3") == by_name.meant_by(calls[2].key) == by_name.meant_by(str(calls[2].id)) == calls[2:]
    )
    assert by_name.meant_by("lo") == ()
    assert failed_calls(tree) == calls[2:]


@given(st.data())
@examples(10, 500)
def test_more_chosen_tasks_never_reuse_more(data: st.DataObject):
    calls: list[Call] = []
    for number in range(1, data.draw(st.integers(1, 12)) + 1):
        earlier = data.draw(st.lists(st.integers(1, number - 1), max_size=3)) if number > 1 else []
        key = data.draw(st.sampled_from([f"{number:040x}-0", str(number)]))
        state = data.draw(st.sampled_from(["COMPLETED", "COMPLETED", "FAILED"]))
        calls.append(call(number, *earlier, dynamic_key=key, state=state))
    ids = [one.id for one in calls]
    fewer = data.draw(st.sets(st.sampled_from(ids)))
    more = fewer | data.draw(st.sets(st.sampled_from(ids)))

    before, after = (plan_of({ROOT: Recorded(calls)}, ROOT, chosen, NOON) for chosen in (fewer, more))

    assert {one.id for one in after.reused} <= {one.id for one in before.reused}
    assert len(before.reused) + len(before.again) == len(calls)
    assert before.longest_chain <= before.work
    assert before.elapsed <= before.work
