"""Validation of values against a schema, error by error, for forms that check parameters before they submit them."""

from __future__ import annotations

from deployments.blocks.selectors import variables_for
from deployments.definitions.core.parameter_errors import BadSchema, Filling, as_tree, filled_as_far_as_possible, flaws
from deployments.definitions.core.parameters import flaw_of_schema
from events.automations.core.templates import misplaced
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action
from orionflow.contract.deployments import SchemaCheck, SchemaFlaws


class ValidateAgainstSchema(Operation):
    """Check values against a JSON schema. Templates are filled in first, as far as possible before a run."""

    method = "POST"
    action_required = Action.READ_VARIABLES
    answers = {200: SchemaFlaws, 422: dict[str, str]}

    def perform(self, body: SchemaCheck) -> SchemaFlaws:
        if reason := flaw_of_schema(body.json_schema):
            raise Refused(f"Invalid schema: {reason}")
        filled = filled_as_far_as_possible(body.values, Filling(variables_for(body.values), _flaw_of_text))
        try:
            errors = as_tree(flaws(filled, body.json_schema))
        except BadSchema as error:
            raise Refused(f"Invalid schema: {error}") from None
        return {"errors": errors, "valid": not errors}


def _flaw_of_text(text: str) -> str | None:
    wrong = misplaced(text)
    return None if wrong is None else f"Line {wrong.line}: {wrong.message}."
