"""Retries of finished runs from some of their tasks: preview and start them.

A retry is another attempt of the same run, or a new run that reuses the records of the old one. In both cases the run's
policy says that there is a retry, and the row of the retry lists the states that are not reused. The attempt asks for
that list when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from deployments.models import Deployment
from orchestration.acts import note
from orchestration.core.policies import AGAIN_FLOW
from orchestration.core.states import TERMINAL, State, StateType, awaiting_retry, scheduled
from orchestration.core.verdicts import ACCEPT, Abort
from orchestration.errors import DomainError, FlowRunNotFound
from orchestration.new_runs import NewFlowRun
from orchestration.proposals import Outcome, Proposal
from orchestration.services import judge_flow_run_states, propose
from orchestration.tables import FLOW_RUNS, lock
from orchestration.transactions import repeated_on_conflict, write_transaction
from orionflow.contract.ids import uuid7
from orionflow.contract.masking import refusal_of_masked
from runs.errors import NoSuchTask, RetryTaken, RunMoved
from runs.flow_runs.commands import NOT_ENDED
from runs.flow_runs.services import create_flow_run
from runs.limiting_users import limits_of
from runs.models import FlowRun, RunRetry
from runs.naming import listed, two_word_name
from runs.retries.core import Call, CallsByName, Cause, Plan, Tree, failed_calls, plan_of
from runs.retries.selectors import recorded_tree, runs_with_task

# Stands for all tasks that did not complete, in place of a task name.
FAILED = "@failed"
# Fields of a run's policy that the rules write; a new run starts without them.
_REMEMBERED = ("crash_count", "handovers", "unstarted", "resumes", "pause_keys", "resuming", "retry_type")
_NAMED = 8
NOTHING_FAILED = "it completed, and none of its task runs failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """A retry as the user asked for it. A request with a known `id` is not carried out again.

    `process` is the id of a caller that executes the run itself.
    """

    wanted: Sequence[str]
    new_run: bool = False
    process: str | None = None
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """The outcome that a retry would have; `refusals` give the reasons why it would be refused.

    With an obstacle no new run is possible either; the rules refuse only another attempt.
    """

    run: FlowRun
    chosen: Sequence[Call]
    plan: Plan
    obstacle: str = ""
    refused_by_rules: str = ""
    notes: Sequence[str] = ()

    @property
    def refusals(self) -> list[str]:
        return [reason for reason in (self.obstacle, self.refused_by_rules) if reason]

    def numbers(self) -> dict[str, Any]:
        """Return the counts for the API and for the row of the retry."""
        causes = self.plan.causes
        return {
            "reused": len(self.plan.reused),
            "reused_by_order": self.plan.by_order,
            "again": len(self.plan.again),
            "causes": {cause.value: causes[cause] for cause in Cause if causes[cause]},
            "work_seconds": round(self.plan.work.total_seconds(), 3),
            "elapsed_seconds": round(self.plan.elapsed.total_seconds(), 3),
            "longest_chain_seconds": round(self.plan.longest_chain.total_seconds(), 3),
        }


def preview_retry(*, run_id: UUID, options: RetryOptions, now: datetime) -> Preview:
    """Return what a retry would do. Raises FlowRunNotFound, NoSuchTask and TooManyTaskRuns."""
    preview = _weighed(run_id, options, now)
    # The rules apply to a new run only when it starts.
    if options.new_run or preview.obstacle:
        return preview
    refused = _judged([preview.run], _first_state(options, now), now)
    return replace(preview, refused_by_rules=refused.get(run_id, ""))


def _weighed(run_id: UUID, options: RetryOptions, now: datetime) -> Preview:
    """Return the plan, and any obstacle that does not depend on the rules."""
    run = FlowRun.objects.select_related("flow").filter(pk=run_id).first()
    if run is None:
        raise FlowRunNotFound(id=run_id)
    if run.state_type not in TERMINAL:
        return Preview(run, (), Plan(), NOT_ENDED)
    tree = recorded_tree(run_id)
    chosen = _chosen(run, tree, options.wanted)
    plan = plan_of(tree, run_id, {call.id for call in chosen}, now)
    deployments = _deployments_of([run])
    obstacle = _obstacle(run, deployments, options.process) or _refusal_of_masked(run)
    if not obstacle and not chosen and run.state_type == StateType.COMPLETED:
        obstacle = NOTHING_FAILED
    return Preview(run, chosen, plan, obstacle, notes=_notes(run, deployments.get(run.deployment_id), chosen, plan))


def _chosen(run: FlowRun, tree: Tree, wanted: Sequence[str]) -> list[Call]:
    found: dict[UUID, Call] = {}
    by_name = CallsByName(tree)
    for one in wanted:
        calls = failed_calls(tree) if one == FAILED else by_name.meant_by(one)
        if not calls and one != FAILED:
            every = dict.fromkeys(call.task_name for recorded in tree.values() for call in recorded.calls)
            known = listed([repr(name) for name in every], _NAMED)
            raise NoSuchTask(run=run.name, wanted=one, known=known or "none")
        found |= {call.id: call for call in calls}
    return list(found.values())


def _deployments_of(runs: Sequence[FlowRun]) -> dict[UUID | None, Deployment]:
    wanted = {run.deployment_id for run in runs if run.deployment_id is not None}
    return dict(Deployment.objects.only("pk", "version").in_bulk(wanted)) if wanted else {}


def _obstacle(run: FlowRun, deployments: Mapping[UUID | None, Deployment], process: str | None) -> str:
    if run.parent_task_run_id is not None and run.deployment_id is None:
        return "this run is nested in another one and runs in its process; retry that one from here"
    if process is not None:
        return ""
    if run.deployment_id is None:
        return "this run has no deployment, so only a program can run it: orion flow-run retry with --entrypoint"
    if run.deployment_id not in deployments:
        return "its deployment was deleted, so no agent could find its code: orion flow-run retry with --entrypoint"
    return ""


def _refusal_of_masked(run: FlowRun) -> str:
    refusal = refusal_of_masked(run.parameters)
    return f"{refusal}; call the flow again with them" if refusal else ""


def _judged(runs: Sequence[FlowRun], proposed: State, now: datetime) -> dict[UUID, str]:
    """Return the reasons why the rules would refuse, by run. Runs that they would accept are missing."""
    run_ids = [run.pk for run in runs]
    outcomes = judge_flow_run_states(run_ids=run_ids, proposed=proposed, now=now, policy=AGAIN_FLOW)
    return {run_id: outcome.refusal for run_id, outcome in outcomes.items() if outcome.refusal}


def _first_state(options: RetryOptions, now: datetime) -> State:
    message = f"Retried from {_described(options.wanted)}."
    if options.process is not None:
        return State(type=StateType.PENDING, message=message)
    return scheduled(now, message=message) if options.new_run else awaiting_retry(now, message=message)


def _described(wanted: Sequence[str]) -> str:
    return listed(["the failed tasks" if one == FAILED else one for one in wanted], _NAMED)


def _notes(run: FlowRun, deployment: Deployment | None, chosen: Sequence[Call], plan: Plan) -> list[str]:
    """Return sentences that a user should read before the retry."""
    notes = []
    causes = plan.causes
    if not plan.reused and causes[Cause.UNSTORED]:
        notes.append(
            "No result before it was stored, so everything runs again. Flows with retries store them, and tasks with "
            "persist_result=True; ORION_RESULTS_PERSIST_BY_DEFAULT=true has all of them stored."
        )
    if plan.by_order:
        notes.append(
            f"{plan.by_order} of the results are taken up by the number of their call, because their inputs cannot be "
            "compared: they are right if the flow makes the same calls in the same order."
        )
    if causes[Cause.UNKNOWN]:
        notes.append(
            "Calls whose inputs cannot be compared run again if they were made after one that does: their inputs may "
            f"come from it. These are {causes[Cause.UNKNOWN]}."
        )
    first = min((call.id for call in chosen), default=None)
    later = sum(first is not None and call.id > first for call in plan.reused)
    if later:
        notes.append(
            f"{later} of the results are of calls made after the chosen one that take nothing from it, as far as is "
            "recorded: they are reused if their inputs are the same again."
        )
    if run.state_type != StateType.COMPLETED:
        notes.append("The run did not get to its end: what it had not called yet runs as well, and is not counted.")
    if deployment is not None and deployment.version != run.deployment_version:
        was = f"version {run.deployment_version}" if run.deployment_version else "none"
        notes.append(
            f"The deployment is at version {deployment.version or 'none'} by now, and this run was of {was}: the new "
            "code runs, and tasks whose code changed run again, too."
        )
    return notes


@dataclass(frozen=True, slots=True)
class Retried:
    """The outcome of a retry: the verdict, the run that executes it, and its row, if it is done."""

    outcome: Outcome
    flow_run_id: UUID
    preview: Preview
    retry: RunRetry | None = field(default=None)


def retry_from_tasks(*, run_id: UUID, options: RetryOptions, now: datetime, author: str = "") -> Retried:
    """Retry a finished run from some of its tasks. Raises what `preview_retry` raises, RetryTaken and RunMoved."""
    if known := _known(run_id, options):
        return known
    # Before the transaction: reading thousands of calls must not hold up other writers.
    return _carry_out(_weighed(run_id, options, now), options, now, author)


def _carry_out(preview: Preview, options: RetryOptions, now: datetime, author: str) -> Retried:
    if not preview.obstacle:
        return _begin(preview, options, now, author)
    run = preview.run
    # The obstacle may be that the same request, sent twice, has begun the retry while the calls were read.
    if known := _known(run.pk, options):
        return known
    note("flow-run", run.pk, name=run.name, refused=preview.obstacle)
    return Retried(Outcome(Abort(preview.obstacle), None, False, ()), run.pk, preview)


def _known(run_id: UUID, options: RetryOptions) -> Retried | None:
    known: RunRetry | None = RunRetry.objects.filter(pk=options.id).first() if options.id else None
    if known is None:
        return None
    if known.source_id != run_id or known.is_new_run != options.new_run:
        raise RetryTaken(id=options.id)
    run = FlowRun.objects.select_related("flow").get(pk=known.flow_run_id)
    return Retried(Outcome(ACCEPT, None, False, ()), known.flow_run_id, Preview(run, (), Plan()), known)


@repeated_on_conflict
def _begin(preview: Preview, options: RetryOptions, now: datetime, author: str) -> Retried:
    run = preview.run
    with write_transaction():
        lock(FLOW_RUNS, [run.pk])
        if known := _known(run.pk, options):
            return known
        if not FlowRun.objects.filter(pk=run.pk, state_id=run.state_id).exists():
            raise RunMoved(id=run.pk)
        if options.new_run:
            new = _new_run(run, options)
            made, _ = create_flow_run(new=new, state=_first_state(options, now), now=now)
            outcome, run_id, attempt = Outcome(ACCEPT, None, True, ()), made.pk, 1
            note("flow-run", run.pk, name=run.name, after={"retried as": str(run_id), "from": list(options.wanted)})
        else:
            proposal = Proposal(_first_state(options, now), now, author=author or None, policy=AGAIN_FLOW)
            outcome, run_id, attempt = propose(FLOW_RUNS, run.pk, proposal), run.pk, run.run_count + 1
            if outcome.refusal:
                return Retried(outcome, run_id, preview)
            if options.process is not None:
                FlowRun.objects.filter(pk=run.pk).update(process=options.process, updated=now)
            note("flow-run", run.pk, name=run.name, after={"retried from": list(options.wanted)})
        retry = RunRetry(
            id=options.id or uuid7(),
            flow_run_id=run_id,
            source_id=run.pk,
            source_name=run.name,
            attempt=attempt,
            author=author,
            chosen=list(options.wanted),
            again=[one.hex for one in preview.plan.set_aside],
            entered=[one.hex for one in preview.plan.entered],
            plan=preview.numbers(),
            created=now,
        )
        retry.save(force_insert=True)
    return Retried(outcome, run_id, preview, retry)


def _new_run(run: FlowRun, options: RetryOptions) -> NewFlowRun:
    """Return a new run with the properties of the old one."""
    policy: Mapping[str, Any] = run.empirical_policy
    return NewFlowRun(
        flow_id=run.flow_id,
        name=two_word_name(),
        tags=list(run.tags),
        parameters=run.parameters,
        context=run.context,
        empirical_policy={
            **{name: value for name, value in policy.items() if name not in _REMEMBERED},
            "retried_from_task": True,
        },
        job_variables=run.job_variables,
        flow_version=run.flow_version,
        deployment_id=run.deployment_id,
        deployment_version=run.deployment_version,
        work_queue_id=run.work_queue_id,
        work_queue_name=run.work_queue_name,
        infrastructure_document_id=run.infrastructure_document_id,
        process=options.process,
        created_by={"id": str(run.pk), "type": "RETRY", "display_value": run.name},
        limited_by=limits_of(run.limited_by, run.job_variables, run.created_by),
    )


def report_outcome(*, run_id: UUID, attempt: int, reused: int, again: int, new: int, now: datetime) -> None:
    """Store what an attempt reused and ran, on the last retry that started at or before this attempt."""
    with write_transaction():
        retry = RunRetry.objects.filter(flow_run=run_id, attempt__lte=attempt).order_by("-created").first()
        if retry is not None:
            retry.outcome = {"attempt": attempt, "reused": reused, "again": again, "new": new}
            retry.updated = now
            retry.save(update_fields=["outcome", "updated"])


# --- many runs at once -----------------------------------------------------------------------------------------------


def weigh_one_of_many(*, run_id: UUID, wanted: Sequence[str], now: datetime) -> Preview:
    """Plan the retry of one of many runs from these tasks; the rules are not asked. Raises what `preview_retry` raises.

    Call it outside of a transaction: reading thousands of calls must not hold up other writers.
    """
    return _weighed(run_id, RetryOptions(wanted=wanted), now)


def retry_one_of_many(*, preview: Preview, wanted: Sequence[str], now: datetime, author: str) -> str:
    """Carry out a planned retry, and return the reason for a refusal. Raises RunMoved."""
    return _carry_out(preview, RetryOptions(wanted=wanted), now, author).outcome.refusal


def shared_reason(error: DomainError) -> str:
    """Return why a run was not retried, in words that other runs may share."""
    match error:
        case NoSuchTask():
            return _not_called(error.details["wanted"])
        case RunMoved():
            return "it changed in the meantime"
    return str(error)


def _not_called(wanted: str) -> str:
    return f"it called no task {wanted!r}"


def refusals_to_retry_from(runs: Sequence[FlowRun], *, wanted: Sequence[str], now: datetime) -> dict[UUID, str]:
    """Return the reasons why runs cannot be retried from these tasks, by run. The number of queries is constant."""
    refused = {run.pk: NOT_ENDED for run in runs if run.state_type not in TERMINAL}
    ended = [run for run in runs if run.pk not in refused]
    deployments = _deployments_of(ended)
    refused |= {run.pk: reason for run in ended if (reason := _obstacle(run, deployments, None))}
    for one in wanted:
        left = [run for run in ended if run.pk not in refused]
        called = runs_with_task([run.pk for run in left], None if one == FAILED else one)
        for run in left:
            if run.pk not in called and one != FAILED:
                refused[run.pk] = _not_called(one)
            elif run.pk not in called and run.state_type == StateType.COMPLETED and len(wanted) == 1:
                refused[run.pk] = NOTHING_FAILED
    left = [run for run in ended if run.pk not in refused]
    return refused | _judged(left, _first_state(RetryOptions(wanted=wanted), now), now)
