"""The export of a flow run as one file, to keep, to mail and to read without a server."""

from __future__ import annotations

import re
from uuid import UUID

from django.http import HttpResponse

from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orchestration.reading import refuse_lag
from orion_site.accounts.permissions import Action
from orionflow.contract.states import TERMINAL
from runs.exports.rendering import render_export
from runs.exports.selectors import exported_run

_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


class ExportFlowRun(Operation):
    """Export a flow run as one HTML file that loads nothing: timeline, task runs, log, why, parameters and states."""

    method = "GET"
    action_required = Action.READ_RUNS
    may_lag = True
    media_type = "text/html"
    answers = {200: str}
    orchestrates = True

    def perform(self, id: UUID) -> HttpResponse:
        now = current_time()
        found = exported_run(run_id=id, now=now)
        if found is None:
            raise FlowRunNotFound(id=id)
        if found.run.state_type not in TERMINAL:
            refuse_lag()
        page = render_export(found, now=now).encode("utf-8", "replace")
        name = _PLAIN.sub("-", found.run.name or "").strip("-.") or str(id)
        return HttpResponse(
            page,
            content_type="text/html; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}.html"',
                "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
                "X-Content-Type-Options": "nosniff",
            },
        )
