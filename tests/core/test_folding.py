from __future__ import annotations

import inspect
import pkgutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.core import packed_trails, rules
from orchestration.core.decide import Judgement
from orchestration.core.folding import FoldedState, Malformed, fold, may_hold, number_of, unfold
from orchestration.core.packed_trails import MOST_LINES, REASONS, RULES, USUAL, VERDICTS
from orchestration.core.states import StateType
from orionflow.contract.ids import uuid7
from tests.rounds import examples

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)

moments = st.builds(lambda microseconds: EPOCH + timedelta(microseconds=microseconds), st.integers(0, 10**17))
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
reasons = st.one_of(
    words,
    st.builds(lambda one, number: one.replace("{}", str(number)), st.sampled_from(REASONS), st.integers(0, 10**20)),
    st.sampled_from([*REASONS, "attempt 01 of its flow run", "start number 1{}", "attempt ²  of its flow run"]),
)
lines = st.builds(
    Judgement, st.sampled_from(sorted(RULES.values())) | words, st.sampled_from(VERDICTS) | words, reasons
)
trails = st.sampled_from(USUAL) | st.lists(lines, max_size=MOST_LINES).map(tuple)
states = st.builds(
    FoldedState,
    id=st.uuids() | st.builds(uuid7),
    type=st.sampled_from(StateType),
    timestamp=moments,
    trail=trails,
    epoch=st.integers(0, 2**40),
    client_timestamp=st.none() | moments,
    author=st.none() | words,
    is_untrackable=st.booleans(),
)


@examples(10, 1000)
@given(st.lists(states, max_size=4))
def test_what_is_folded_unfolds_to_what_it_was(history):
    folded = fold(history)

    assert unfold(folded) == history
    assert number_of(folded) == len(history)
    assert all(may_hold(folded, state.id) for state in history)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x01\x01\x05\x40", b"\x01\x03\x01\x42"]))
def test_bytes_that_nothing_was_folded_into_are_malformed_and_nothing_worse(noise, head):
    with suppress(Malformed):
        unfold(head + noise)


def test_a_value_of_a_later_version_is_refused_and_not_misread():
    with pytest.raises(Malformed, match="version 2"):
        unfold(b"\x02" + fold([FoldedState(id=uuid7(), type=StateType.PENDING, timestamp=NOON)])[1:])


def test_a_usual_history_takes_some_sixty_bytes():
    at = [NOON + timedelta(milliseconds=number) for number in range(3)]
    kinds = (StateType.PENDING, StateType.RUNNING, StateType.COMPLETED)
    usual = [
        FoldedState(id=_id_at(moment), type=kind, timestamp=moment, trail=trail)
        for moment, kind, trail in zip(at, kinds, USUAL, strict=False)
    ]

    assert len(fold(usual)) <= 63


def test_every_rule_has_a_number_of_its_own():
    there = {
        name: one.number
        for module in pkgutil.iter_modules(rules.__path__)
        for name, one in inspect.getmembers(import_module(f"{rules.__name__}.{module.name}"), inspect.isclass)
        if one.__module__.startswith(rules.__name__) and hasattr(one, "judge")
    }

    assert {number: name for name, number in there.items()} == RULES
    assert sorted(there.values()) == list(range(1, len(there) + 1))


def test_numbers_that_are_stored_never_change():
    assert [packed_trails.RULES[number] for number in range(1, 28)] == [
        "ReuseCachedResults",
        "KeepFinishedTaskRuns",
        "StartTasksOfRunningFlowsOnly",
        "TakeConcurrencySlots",
        "CarryScheduledTime",
        "WaitForScheduledTime",
        "RetryFailedTasks",
        "RetryCrashedRuns",
        "NameRepeatedTries",
        "RememberFlowAttempt",
        "RememberResultsByCacheKey",
        "ClaimRunsOnce",
        "MarkLostResults",
        "RefuseRepeatedTransitions",
        "KeepFinishedFlowRuns",
        "FinishCancelling",
        "CancelAtOnceWithoutInfrastructure",
        "MarkOnlyScheduledRunsLate",
        "PauseRunningFlowRuns",
        "ResumePausedFlowRuns",
        "TakeQueueSlots",
        "ResolveOverlaps",
        "RetryFailedFlows",
        "HandOverLostWaits",
        "HandOverUnheardRuns",
        "RunAgainFromTasks",
        "StartOnceOfAllClaims",
    ]
    golden = bytes.fromhex(
        "0103014001a226756495763483562eb9e82e712a00"
        "024101a2267564a07b94b62e76d79b98117600"
        "854201a2267564a07bac9ea4fae3b83f241c11"
    )
    assert [(one.type.value, len(one.trail)) for one in unfold(golden)] == [
        ("PENDING", 0),
        ("RUNNING", 6),
        ("COMPLETED", 1),
    ]


def _id_at(moment: datetime) -> UUID:
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62) | 12345)
