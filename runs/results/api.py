"""Stored results: where they are, their size, and how long they are kept. Values do not pass through the server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.conf import settings

from orchestration.api.answers import as_answer
from orionflow.contract import results as contract
from orionflow.contract.wire import Shaped
from runs.lists.api import RunQuestion
from runs.models import FlowRun
from runs.results.selectors import StoredResult, Wanted, stored_results

ResultPageOut = Annotated[dict[str, Any], Shaped(contract.ResultPage)]


class FilterResults(RunQuestion):
    """List stored results of the newest runs that completed."""

    # Its answer decides which files are deleted.
    may_lag = False
    answers = {200: ResultPageOut}

    def perform(self, body: contract.ResultListing) -> ResultPageOut:
        wanted = Wanted(body.flow_run_ids, body.task_run_ids, body.storage, body.expired_before)
        found, before = stored_results(wanted, before=body.before, limit=body.limit)
        results, archives = [result_out(one) for one in found], bool(settings.ORION_ARCHIVE_PATH)
        return as_answer(contract.ResultPage, None, results=results, before=before, archives=archives)


def result_out(found: StoredResult) -> dict[str, Any]:
    return as_answer(
        contract.StoredResult,
        None,
        run="flow-run" if isinstance(found.run, FlowRun) else "task-run",
        run_id=found.run.id,
        run_name=found.run.name,
        flow_run_id=found.flow_run_id,
        stored=found.stored,
        **asdict(found.reference),
    )
