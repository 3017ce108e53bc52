"""States on their way to and from JSON, and answers of servers that are newer than the client."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.ids import uuid7
from orionflow.states import State, StateDetails, StateType
from orionflow.wire import FlowRun, OrchestrationResult, encode, read_answer, state_from_wire, state_to_wire

NOON = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
moments = st.datetimes(timezones=st.just(UTC))
details = st.builds(
    StateDetails,
    flow_run_id=st.none() | st.uuids(),
    scheduled_time=st.none() | moments,
    cache_key=st.none() | st.text(alphabet=st.characters(codec="utf-8"), min_size=1),
    pause_reschedule=st.booleans(),
)
states = st.builds(
    State,
    type=st.sampled_from(StateType),
    name=st.text(alphabet=st.characters(codec="utf-8"), min_size=1),
    # What no database takes is cleaned out of messages on the way: `test_odd_texts` has those.
    message=st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00")),
    data=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(-5, 5)),
    state_details=details,
    timestamp=st.none() | moments,
    id=st.none() | st.uuids(),
)
FIELDS = ("type", "name", "message", "data", "state_details", "timestamp", "id")


@given(states)
def test_a_state_comes_back_as_it_went(state: State):
    back = state_from_wire(json.loads(encode(state_to_wire(state))))

    assert [getattr(back, name) for name in FIELDS] == [getattr(state, name) for name in FIELDS]


def test_an_answer_with_unknown_fields_is_read():
    wire = {"id": str(uuid7()), "flow_id": str(uuid7()), "weather": "fine", "tags": None, "parameters": None}

    run = read_answer(FlowRun, encode(wire))

    assert (run.tags, run.parameters, run.state) == ([], {}, None)


def test_a_verdict_carries_the_state_as_the_sdks_own():
    wire = {
        "status": "REJECT",
        "state": {"id": str(uuid7()), "type": "SCHEDULED", "name": "AwaitingRetry", "timestamp": NOON},
        "details": {"type": "reject_details", "reason": "retry 1 of 3"},
    }

    verdict = read_answer(OrchestrationResult, encode(wire))

    assert isinstance(verdict.state, State)
    assert (verdict.state.name, verdict.state.timestamp, verdict.reason) == ("AwaitingRetry", NOON, "retry 1 of 3")
