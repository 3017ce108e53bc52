"""The question of a pause: the schema that is stored for users who resume the run, and their stored answer."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from orionflow.calls.flow_runs import create_flow_run_input, delete_flow_run_input, read_flow_run_input
from orionflow.client import OrionClient
from orionflow.contract.ids import uuid7
from orionflow.engine.effects import Steps, send
from orionflow.errors import Conflict, NotFound, ParameterError, UsageError
from orionflow.input.kinds import Kind, kind_of
from orionflow.input.models import Metadata, RunInput
from orionflow.states import State

_KEY = re.compile(r"^[A-Za-z0-9._-]+$")
LONGEST_KEY = 200


class AnswerRefused(ParameterError):
    """An answer fits the schema that the API knows, but the type's own validation refuses it."""


@dataclass(frozen=True, slots=True)
class Question:
    """The question of one pause: its kind, its description, and the keys under which its parts are stored."""

    kind: Kind
    description: str | None
    keyset: dict[str, str]

    def ask(self, client: OrionClient, flow_run_id: UUID) -> Steps[None]:
        """Store the schema. This is done before the pause, so that users who see the pause find it."""
        yield from _put(client, flow_run_id, self.keyset["schema"], self.kind.schema())
        if self.description is not None:
            yield from _put(client, flow_run_id, self.keyset["description"], self.description)

    def answer(self, client: OrionClient, flow_run_id: UUID) -> Steps[Any]:
        """Return the input that the flow run was resumed with."""
        key = self.keyset["response"]
        text: bytes | None = None
        with suppress(NotFound):
            text = yield send(client, read_flow_run_input(flow_run_id, key))
        try:
            value = self.kind.read((text or b"{}").decode())
        except ParameterError as error:
            if text is None:
                problem = f"The flow run was resumed without the answer that it waits for. {error}"
                raise ParameterError(problem) from None
            raise AnswerRefused(str(error)) from None
        if isinstance(value, RunInput):
            value._metadata = Metadata(key, None, flow_run_id)
        return value


def question_of(pause: State[Any], wait_for_input: Any) -> Question | None:
    """Return the question of a pause, and note it in the state; None if the pause asks for no input."""
    if wait_for_input is None:
        return None
    description = getattr(wait_for_input, "_description", None)
    return _question(pause, kind_of(wait_for_input), description if isinstance(description, str) else None)


def ask_again(pause: State[Any], question: Question, refused: AnswerRefused) -> tuple[State[Any], Question]:
    """Return the pause that follows a refused answer, with the same deadline and a message with the reason.

    Its key is derived from the earlier one, so a later attempt finds the same chain of answers.
    """
    details = pause.state_details
    first, _, tries = (details.pause_key or "").partition(_AGAIN)
    key = f"{first}{_AGAIN}{int(tries or 1) + 1}"
    again = replace(
        pause,
        id=uuid7(),
        message=f"The last answer was not taken. {refused}",
        state_details=replace(details, pause_key=key),
    )
    return again, _question(again, question.kind, question.description)


# Distinctive enough that no key chosen by a user ends with it by chance.
_AGAIN = "-answer-"


def _question(pause: State[Any], kind: Kind, description: str | None) -> Question:
    key = f"{pause.name.lower()}-{pause.state_details.pause_key}"
    if not _KEY.match(key) or len(key) > LONGEST_KEY:
        raise UsageError(
            f"A pause that waits for input has a key of letters, digits, '.', '_' and '-'; "
            f"{pause.state_details.pause_key!r} has others or is too long."
        )
    keyset = {part: f"{key}-{part}" for part in ("description", "response", "schema")}
    pause.amend_details(run_input_keyset=keyset)
    return Question(kind, description, keyset)


def _put(client: OrionClient, flow_run_id: UUID, key: str, value: Any) -> Steps[None]:
    """Store a value; replace one that an earlier attempt may have stored with older code."""
    create = create_flow_run_input(flow_run_id, key, json.dumps(value))
    try:
        yield send(client, create)
    except Conflict:
        yield send(client, delete_flow_run_input(flow_run_id, key))
        yield send(client, create)
