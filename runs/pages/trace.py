"""The link from a run's page to its trace, if the operator configured where traces are, or the caller was traced."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from orionflow.contract.traces import named_trace, trace_id_of
from runs.models import FlowRun


@dataclass(frozen=True, slots=True)
class ShownTrace:
    id: str
    address: str = ""


def shown_trace(run: FlowRun) -> ShownTrace | None:
    template: str = settings.ORION_TRACES_LINK
    if not template and named_trace(run.context) is None:
        return None
    trace_id = trace_id_of(run.id, run.context)
    return ShownTrace(trace_id, template.replace("{trace_id}", trace_id))
