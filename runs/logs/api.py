"""The endpoint that stores log lines, many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from orchestration.api.fencing import read_header
from orchestration.api.operations import Operation
from orchestration.api.parsing import CleaningJSONParser
from orchestration.clocks import SENT_AT_HEADER, clock_offset, corrected
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract.logs import LogCreate
from orionflow.contract.wire import Moment
from runs.logs.services import NewLog, record_logs

MOST_LINES = 10_000


class CreateLogs(Operation):
    """Store log lines. A message over 64 KiB is cut, with a note; characters that cannot be stored are replaced.

    `Orion-Sent-At` is the time of the sender's clock. If it is off by more than a second, times of lines are corrected.
    """

    method = "POST"
    action_required = Action.REPORT_RUNS
    masks_secrets = True
    reports = True
    answers = {201: None}
    parser_classes = (CleaningJSONParser,)

    def reported_runs(self, body: list[LogCreate]) -> Iterable[tuple[str, UUID | None]]:
        # Log lines of a task may arrive before its task run is stored, so their flow run decides.
        return {
            ("runs_flowrun", one.flow_run_id) if one.flow_run_id else ("runs_taskrun", one.task_run_id) for one in body
        }

    def named_rows(self, body: list[LogCreate]) -> Iterable[tuple[str, UUID | None]]:
        return {("runs_taskrun", one.task_run_id) for one in body}

    def perform(self, body: Annotated[list[LogCreate], Field(max_length=MOST_LINES)]) -> None:
        now = current_time()
        offset = clock_offset(now, read_header(self.request, SENT_AT_HEADER, Moment))
        record_logs(lines=[_new_log(one, corrected(one.timestamp, offset, now)) for one in body], now=now)


def _new_log(one: LogCreate, at: datetime) -> NewLog:
    # Cut the name of the logger to the length of its column rather than lose the line.
    return NewLog(one.name[:255], one.level, one.message, at, one.flow_run_id, one.task_run_id, one.id)
