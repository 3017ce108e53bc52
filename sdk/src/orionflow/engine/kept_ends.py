"""Final states that the reporter keeps, so that they reach the API even if it is away or this process is killed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.contract.ids import uuid7
from orionflow.contract.states import NO_DETAILS
from orionflow.errors import ApiError
from orionflow.logging import RunLogger
from orionflow.reporting import Reporter
from orionflow.reporting.items import ERROR, Answer
from orionflow.states import State

NOT_REPORTED = "The end of the run as %s could not be reported: %s"


def last_state(ended: State[Any], at: datetime) -> State[Any]:
    """Return a final state as it is kept, with the id of its proposal if it was proposed before."""
    return State(
        type=ended.type,
        name=ended.name,
        message=ended.message,
        data=ended.data,
        state_details=NO_DETAILS.revised(cause=ended.state_details.cause),
        timestamp=at,
        id=ended.id or uuid7(),
    )


def keep_for(
    seconds: float, run_id: UUID, ended: State[Any], at: datetime, *, reporter: Reporter, logger: RunLogger
) -> Answer | None:
    """Keep a final state before anything waits, as an API may accept connections and not answer.

    Wait for these seconds until it is delivered. Return the verdict; None, and log it, if there is none by then.
    """
    try:
        answer = reporter.keep_and_ask(set_flow_run_state(run_id, last_state(ended, at)), run_id, seconds)
    except ApiError as away:
        logger.error("The end of the run as %s will be reported later. %s", ended.name, away)
        return None
    # A run that is not found was not created, or was deleted.
    if answer.status == ERROR and answer.code != "http_404":
        logger.error(NOT_REPORTED, ended.name, answer.reason)
    return answer
