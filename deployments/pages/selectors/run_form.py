"""The form of a run: the deployment, the run that is copied, and the errors of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from deployments.blocks.selectors import variables_for
from deployments.definitions.core.parameter_errors import Filling, Flaw, filled_as_far_as_possible, flaws
from deployments.models import Deployment
from events.automations.core.templates import misplaced
from runs.models import FlowRun


def deployment_to_run(*, deployment_id: UUID) -> Deployment | None:
    return Deployment.objects.select_related("flow", "work_queue").filter(pk=deployment_id).first()


def run_to_copy(*, run_id: UUID, flow_id: UUID) -> FlowRun | None:
    """Return a run of the same flow, of any deployment or none: all of them take the same parameters."""
    columns = (
        *("id", "name", "tags", "parameters", "flow_id", "deployment_id", "context", "empirical_policy"),
        *("work_queue_id", "work_queue_name", "job_variables", "infrastructure_document_id"),
        *("limited_by", "created_by"),
    )
    return FlowRun.objects.only(*columns).filter(pk=run_id, flow=flow_id).first()


def flaws_of(values: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Flaw]:
    """Return where the values, with their templates filled in, do not fit the schema. Raises BadSchema."""
    values = dict(values)
    return flaws(filled_as_far_as_possible(values, Filling(variables_for(values), _flaw_of_text)), schema)


def _flaw_of_text(text: str) -> str | None:
    wrong = misplaced(text)
    return None if wrong is None else f"Line {wrong.line}: {wrong.message}."
