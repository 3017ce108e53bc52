"""The input that a pause waits for: its schema and its text, as the run stored them before it paused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from deployments.blocks.selectors import filled_in
from deployments.definitions.core.parameter_errors import Flaw, flaws
from runs.models import FlowRun, FlowRunInput, FlowRunState

NOT_STORED_YET = "The run has not said yet which input it waits for; try again in a moment."
NO_OBJECT = "The schema of the input that the run waits for is not a JSON object, so no input fits; cancel the run."


@dataclass(frozen=True, slots=True)
class WantedInput:
    """The input that one pause waits for. Without a schema, `problem` says why nothing can be answered."""

    schema: Mapping[str, Any] | None
    description: str = ""
    problem: str = ""

    @property
    def required(self) -> list[str]:
        names = (self.schema or {}).get("required")
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    @property
    def optional(self) -> list[str]:
        properties = (self.schema or {}).get("properties")
        names = list(properties) if isinstance(properties, Mapping) else []
        return [name for name in names if name not in self.required]


@dataclass(frozen=True, slots=True)
class Pause:
    """The state in which a run is paused, and the input that it waits for, if any."""

    state_id: UUID
    wanted: WantedInput | None


def pause_of(run: FlowRun) -> Pause | None:
    """Return the pause that a run is in; None if it is not paused. At most two queries."""
    if run.state_type != "PAUSED" or run.state_id is None:
        return None
    details = FlowRunState.objects.filter(pk=run.state_id).values_list("details", flat=True).first()
    return Pause(run.state_id, wanted_input(run_id=run.pk, details=details or {}))


def wanted_input(*, run_id: UUID, details: Mapping[str, Any]) -> WantedInput | None:
    """Return the input that a paused state with these details waits for; None if it waits for none."""
    keyset = details.get("run_input_keyset")
    if not keyset:
        return None
    keys = [keyset.get("schema", ""), keyset.get("description", "")]
    stored = dict(FlowRunInput.objects.filter(flow_run=run_id, key__in=keys).values_list("key", "value"))
    schema = schema_in(stored.get(keys[0]))
    if isinstance(schema, str):
        return WantedInput(None, problem=schema)
    return WantedInput(schema, _text_in(stored.get(keys[1])) or str(schema.get("description") or ""))


def schema_in(stored: str | None) -> dict[str, Any] | str:
    """Return the schema in the text that a run stored, or a message if there is none."""
    if stored is None:
        return NOT_STORED_YET
    schema = _read(stored)
    return schema if isinstance(schema, dict) else NO_OBJECT


def _text_in(stored: str | None) -> str:
    text = _read(stored) if stored else ""
    return text if isinstance(text, str) else ""


def _read(text: str) -> Any:
    try:
        # It refuses lone surrogates, which no page can show.
        return from_json(text)
    except ValueError:
        return None


def flaws_of_input(given: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Flaw]:
    """Return where an answer, with its templates filled in, does not fit. Raises BadTemplate and BadSchema."""
    return flaws(filled_in(given), schema)
