"""Calls about problems: failures of one cause, and the decisions of users about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from orionflow import contract
from orionflow.calls import Call, Collection, body

if TYPE_CHECKING:
    from orionflow.contract.bulk_actions import BulkAction
    from orionflow.contract.problems import Problem, ProblemRetryPreview, WaitingRuns

PROBLEMS: Collection[Problem] = Collection("/problems", lambda: contract.problems.Problem)


def read_waiting() -> Call[list[WaitingRuns]]:
    """List the reasons for which due runs are waiting."""
    return Call("GET", f"{PROBLEMS.path}/waiting", read=lambda: list[contract.problems.WaitingRuns])


def preview_problem_retry(problem_id: UUID | str) -> Call[ProblemRetryPreview]:
    """Ask which of a problem's failed runs can be retried."""
    return Call(
        "POST", f"{PROBLEMS.one(problem_id)}/retry/preview", {}, read=lambda: contract.problems.ProblemRetryPreview
    )


def retry_problem(problem_id: UUID | str, *, id: UUID) -> Call[BulkAction]:
    """Retry a problem's failed runs. Repeated calls with the same id have no further effect."""
    sent = body(contract.problems.ProblemRetry, id=id)
    return Call("POST", f"{PROBLEMS.one(problem_id)}/retry", sent, read=lambda: contract.bulk_actions.BulkAction)


def mute_problem(problem_id: UUID | str, until: Mapping[str, Any]) -> Call[Problem]:
    """Mute a problem until one of these conditions is met."""
    return Call("POST", f"{PROBLEMS.one(problem_id)}/mute", dict(until), read=PROBLEMS.answer)


def unmute_problem(problem_id: UUID | str) -> Call[Problem]:
    """Unmute a problem."""
    return Call("POST", f"{PROBLEMS.one(problem_id)}/unmute", {}, read=PROBLEMS.answer)


def resolve_problem(problem_id: UUID | str) -> Call[Problem]:
    """Close a problem."""
    return Call("POST", f"{PROBLEMS.one(problem_id)}/resolve", {}, read=PROBLEMS.answer)


def assign_problem(problem_id: UUID | str, assignee: str) -> Call[Problem]:
    """Assign a problem to a user; an empty name removes the assignment."""
    return Call("POST", f"{PROBLEMS.one(problem_id)}/assign", {"assignee": assignee}, read=PROBLEMS.answer)
