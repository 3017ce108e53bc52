"""Commands of users on problems: resolve, mute, assign."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from orchestration.transactions import repeated_on_conflict, write_transaction
from runs.models import Problem
from runs.problems.services.mending import resolve
from runs.problems.services.rows import MUTING, locked_problem, save_problem, unmute

Status = Problem.Status


def resolve_problem(*, problem_id: UUID, by: str, now: datetime) -> Problem:
    """Resolve a problem in a user's name; a later failing run reopens it. Raises ProblemNotFound."""
    return resolve(problem_id, f"Resolved by {by}.", by, now)


@repeated_on_conflict
def mute_problem(
    *,
    problem_id: UUID,
    now: datetime,
    until: datetime | None = None,
    grows_by: int | None = None,
    other_version: bool = False,
) -> Problem:
    """Mute a problem until one of these conditions is met; without any, forever. Raises ProblemNotFound."""
    with write_transaction():
        problem = locked_problem(problem_id)
        problem.status, problem.since, problem.muted_until = Status.MUTED, now, until
        problem.muted_until_failures = None if grows_by is None else problem.failures + grows_by
        problem.muted_in_version = problem.version if other_version else None
        save_problem(problem, now, *MUTING)
    return problem


@repeated_on_conflict
def unmute_problem(*, problem_id: UUID, now: datetime) -> Problem:
    """Reopen a problem that is muted or resolved; others stay as they are. Raises ProblemNotFound."""
    with write_transaction():
        problem = locked_problem(problem_id)
        if problem.status in {Status.MUTED, Status.RESOLVED}:
            problem.status, problem.since, problem.noticed = Status.ONGOING, now, problem.failures
            problem.resolution = problem.resolved_by = ""
            unmute(problem)
            save_problem(problem, now, "noticed", "resolution", "resolved_by", *MUTING)
    return problem


@repeated_on_conflict
def assign_problem(*, problem_id: UUID, assignee: str, now: datetime) -> Problem:
    """Assign a problem; an empty name removes the assignment. Raises ProblemNotFound."""
    with write_transaction():
        problem = locked_problem(problem_id)
        problem.assignee = assignee
        save_problem(problem, now, "assignee")
    return problem
