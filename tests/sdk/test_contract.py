"""The contract is the bottom layer: it knows nothing of the SDK above it."""

from __future__ import annotations

from datetime import UTC, datetime
from pkgutil import iter_modules
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

import orionflow.contract
from orionflow.contract.states import NAMES, NO_DETAILS, TERMINAL, UNFINISHED, StateDetails, StateType
from tests.sdk.test_import import loaded_by

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MODULES = [f"orionflow.contract.{module.name}" for module in iter_modules(orionflow.contract.__path__)]


def test_the_contract_imports_nothing_of_the_sdk():
    loaded = {name for name in loaded_by(f"import {', '.join(MODULES)}") if name.startswith("orionflow")}

    assert loaded > set(MODULES)

    assert {name for name in loaded if not name.startswith("orionflow.contract")} == {"orionflow"}


def test_states_and_their_details_need_no_pydantic():
    assert not any(name.startswith("pydantic") for name in loaded_by("import orionflow.contract.states"))


def test_the_api_validates_a_states_details_and_both_sides_read_them_back():
    given = StateDetails(
        flow_run_id=UUID(int=1), scheduled_time=NOON, retriable=False, run_input_keyset={"response": "key"}
    )

    found = from_json(to_json(given.given_fields()))

    assert StateDetails.from_json(found) == TypeAdapter(StateDetails).validate_python(found) == given
    assert given.revised(retriable=None).given_fields().keys() == {"flow_run_id", "scheduled_time", "run_input_keyset"}
    assert NO_DETAILS.given_fields() == {}


def test_every_type_of_state_has_names():
    assert list(NAMES) == list(StateType)
    assert [next(iter(names)).upper() for names in NAMES.values()] == list(StateType)
    assert set(StateType) == TERMINAL | UNFINISHED
