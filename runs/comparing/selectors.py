"""Read two runs to compare them, with a number of queries that does not depend on how many task runs they have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import Left

from deployments.models import Deployment
from orionflow.contract.masking import known
from orionflow.contract.states import CACHED, SKIPPED, StateType
from runs.comparing.core.compared import (
    ComparedRun,
    ComparedTask,
    Comparison,
    Difference,
    Environment,
    LogDifference,
)
from runs.comparing.core.differences import differences_of
from runs.comparing.core.log_lines import first_difference
from runs.comparing.core.tasks import MOST_SHOWN, Aligned, aligned, task_differences
from runs.comparing.core.usual import FACTOR, SMALLEST, Usual
from runs.models import Environment as EnvironmentRow
from runs.models import FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from runs.periods import period_text
from runs.why.selectors.cause import last_good
from runs.why.selectors.guilt import FAILURES, error_in

# The most task runs and lines of each run that are compared; the comparison says if there are more.
TASKS_COMPARED = 10_000
LINES_COMPARED = 2_000
LONGEST_LINE = 1_000
LONGEST_ERROR = 300
ERRORS_READ = 400
# The most good runs that durations are compared with; for durations of tasks, the most good runs, task runs and tasks.
GOOD_RUNS, GOOD_RUNS_BY_TASK, GOOD_TASK_RUNS, KEYS_LOOKED_UP = 50, 20, 5_000, 50
AGENT = "agent "
COMPARED = (
    *("id", "name", "flow_id", "flow__name", "flow_version", "deployment_id", "deployment_version"),
    *("state_id", "state_type", "state_name", "run_count", "work_queue_name", "process", "tags", "parameters"),
    *("environment_id", "expected_start_time", "start_time", "total_run_time"),
)


def last_good_before(*, run_id: UUID) -> UUID | None:
    """Find the last good run before this one, of the same deployment or else of the same flow."""
    run = FlowRun.objects.filter(pk=run_id).first()
    good = last_good(run) if run else None
    return good.id if good else None


def comparison_of(*, before_id: UUID, after_id: UUID) -> Comparison | None:
    """Compare two flow runs; None where one of them does not exist. Twelve queries at most."""
    rows = _rows([before_id, after_id])
    if before_id not in rows or after_id not in rows:
        return None
    good = _good_runs(rows[after_id])
    environments = _environments(rows.values())
    before, after = (_whole(rows[one], environments) for one in (before_id, after_id))
    before, after = _named([before, after], rows)
    found = _with_errors(aligned(before.tasks, after.tasks))
    tasks, alike = task_differences(found, _usual_tasks(found, [run_id for run_id, _ in good]))
    return Comparison(
        before,
        after,
        differences_of(before, after, Usual(sorted(time.total_seconds() for _, time in good))),
        tasks[:MOST_SHOWN],
        alike,
        max(0, len(tasks) - MOST_SHOWN),
        _first_line(before, after),
        list(_unknown(before, after)),
    )


def since_last_good(*, run: FlowRun, good: FlowRun) -> Sequence[Difference]:
    """Compare a run with the last good one, without reading its task runs one by one. Two queries."""
    environments = _environments([good, run])
    before, after = _as_compared(good, environments), _as_compared(run, environments)
    differences = [one for one in differences_of(before, after, Usual()) if one.subject != "duration"]
    return [*differences, *_tasks_in_short(good.id, run.id)]


def _rows(ids: Collection[UUID]) -> dict[UUID, FlowRun]:
    return FlowRun.objects.select_related("flow").only(*COMPARED).in_bulk(ids)


def _environments(runs: Iterable[FlowRun]) -> dict[UUID | None, Environment]:
    """Return the environments of the runs by id. No query where all have the same one, or none was recorded."""
    ids = {run.environment_id for run in runs if run.environment_id}
    if len(ids) < 2:
        # With fewer than two there is nothing to compare; an empty one stands for any.
        return dict.fromkeys(ids, Environment())
    return {
        row.id: Environment(row.python, row.platform, row.commit, row.files, row.packages)
        for row in EnvironmentRow.objects.filter(pk__in=ids)
    }


def _as_compared(run: FlowRun, environments: Mapping[UUID | None, Environment]) -> ComparedRun:
    return ComparedRun(
        id=run.id,
        name=run.name,
        flow=run.flow.name,
        state_type=run.state_type,
        state_name=run.state_name,
        began=run.start_time,
        seconds=run.total_run_time.total_seconds() if run.start_time else None,
        attempts=run.run_count,
        deployment_version=run.deployment_version or "",
        flow_version=run.flow_version or "",
        queue=run.work_queue_name or "",
        host=(run.process or "").partition("|")[0],
        tags=run.tags,
        parameters=run.parameters,
        environment=environments.get(run.environment_id),
    )


def _whole(run: FlowRun, environments: Mapping[UUID | None, Environment]) -> ComparedRun:
    columns = ("id", "task_key", "dynamic_key", "name", "state_type", "state_name", "total_run_time", "run_count")
    tasks = TaskRun.objects.filter(flow_run=run.id).order_by("created", "id").values_list(*columns)[:TASKS_COMPARED]
    compared = [
        ComparedTask(id, key, dynamic, name, kind or "", state or "", ran.total_seconds(), attempts)
        for id, key, dynamic, name, kind, state, ran, attempts in tasks
    ]
    return replace(_as_compared(run, environments), tasks=compared)


def _named(runs: Sequence[ComparedRun], rows: Mapping[UUID, FlowRun]) -> list[ComparedRun]:
    """Add values from other tables: messages of final states, names of deployments, and who claimed the runs."""
    errors: dict[UUID | None, str | None] = dict(
        FlowRunState.objects.filter(pk__in=[row.state_id for row in rows.values()]).values_list("id", "message")
    )
    of_deployments = {row.deployment_id for row in rows.values() if row.deployment_id}
    names: dict[UUID | None, str] = {}
    agents: dict[UUID, str | None] = {}
    if of_deployments:
        names.update(Deployment.objects.filter(pk__in=of_deployments).values_list("id", "name"))
        taken = FlowRunState.objects.filter(flow_run__in=list(rows), type="PENDING", author__startswith=AGENT)
        agents.update(taken.order_by("seq").values_list("flow_run_id", "author"))
    return [
        replace(
            run,
            error=_error(errors.get(rows[run.id].state_id)) if run.state_type in FAILURES else "",
            deployment=names.get(rows[run.id].deployment_id, "deleted") if rows[run.id].deployment_id else "",
            agent=(agents.get(run.id) or "").removeprefix(AGENT),
        )
        for run in runs
    ]


def _error(message: str | None) -> str:
    return known.masked(error_in(message))[:LONGEST_ERROR]


def _with_errors(found: Aligned) -> Aligned:
    """Add the errors of task runs that failed in one of the two runs."""
    failed = [
        task.id for pair in found.pairs for task in (pair.before, pair.after) if task.state_type in FAILURES
    ][:ERRORS_READ]  # fmt: skip
    if not failed:
        return found
    words = TaskRunState.objects.filter(task_run__in=failed, type__in=FAILURES).order_by("seq")
    errors = {id: _error(message) for id, message in words.values_list("task_run_id", "message")}

    def with_error(task: ComparedTask) -> ComparedTask:
        return replace(task, error=errors[task.id]) if task.state_type in FAILURES and task.id in errors else task

    return replace(
        found,
        pairs=[replace(pair, before=with_error(pair.before), after=with_error(pair.after)) for pair in found.pairs],
    )


def _good_runs(run: FlowRun) -> list[tuple[UUID, timedelta]]:
    """Return the last good runs before this one, and how long they ran."""
    mine = {"deployment_id": run.deployment_id} if run.deployment_id else {"flow_id": run.flow_id}
    good = FlowRun.objects.filter(**mine, state_type=StateType.COMPLETED).exclude(state_name=SKIPPED)
    if run.expected_start_time is not None:
        good = good.filter(expected_start_time__lt=run.expected_start_time)
    return list(good.order_by("-expected_start_time").values_list("id", "total_run_time")[:GOOD_RUNS])


def _usual_tasks(found: Aligned, good: Sequence[UUID]) -> dict[str, Usual]:
    """Return the durations in good runs of the tasks whose durations differ. At most one query."""
    keys: dict[str, None] = {}
    for pair in found.pairs:
        short, long = sorted((pair.before.seconds, pair.after.seconds))
        if long - short >= SMALLEST and long >= FACTOR * short:
            keys[pair.after.key] = None
    if not keys:
        return {}
    ran = TaskRun.objects.filter(
        flow_run__in=good[:GOOD_RUNS_BY_TASK], task_key__in=list(keys)[:KEYS_LOOKED_UP], state_type=StateType.COMPLETED
    ).exclude(state_name=CACHED)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for key, time in ran.order_by().values_list("task_key", "total_run_time")[:GOOD_TASK_RUNS]:
        times[key].append(time.total_seconds())
    return {key: Usual(sorted(some)) for key, some in times.items()}


def _first_line(before: ComparedRun, after: ComparedRun) -> LogDifference | None:
    old, new = _lines(before.id), _lines(after.id)
    if not old or not new:
        return None
    names = [[str(run.id), *([run.name] if len(run.name) > 3 else [])] for run in (before, after)]
    return first_difference(old, new, names_before=names[0], names_after=names[1])


def _lines(run_id: UUID) -> list[str]:
    lines = Log.objects.filter(flow_run_id=run_id).order_by("timestamp", "id")
    # Mask secrets before cutting the line: part of a secret would not be recognized.
    read = lines.values_list(Left("message", 2 * LONGEST_LINE), flat=True)[:LINES_COMPARED]
    return [known.masked(line)[:LONGEST_LINE] for line in read]


def _unknown(before: ComparedRun, after: ComparedRun) -> Iterable[str]:
    if before.environment is None or after.environment is None:
        which = "both runs" if before.environment is after.environment else "one of the runs"
        yield f"Packages and commit are not known of {which}."
    if not before.tasks and not after.tasks:
        yield "Neither run has task runs."
    if any(len(run.tasks) == TASKS_COMPARED for run in (before, after)):
        yield f"Of each run the first {TASKS_COMPARED:,} task runs are compared."


def _tasks_in_short(before: UUID, after: UUID) -> Iterable[Difference]:
    """Yield tasks that the later run called more or less often, and those that took longer or shorter in total."""
    rows = (
        TaskRun.objects.filter(flow_run__in=[before, after])
        .order_by()
        .values("flow_run_id", "task_key")
        .annotate(
            number=Count("id"),
            name=Min("name"),
            spent=Sum("total_run_time"),
            cached=Count("id", filter=Q(state_name=CACHED)),
        )
    )
    found: defaultdict[str, dict[UUID, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        found[row["task_key"]][row["flow_run_id"]] = row
    for runs in found.values():
        old, new = runs.get(before), runs.get(after)
        if new is None:
            # The later run did not call it, usually because it failed before.
            continue
        name = new["name"].rsplit("-", 1)[0]
        if old is None or old["number"] != new["number"]:
            yield Difference("task", f"task {name}", _times(old), _times(new))
        elif old["cached"] != new["cached"]:
            yield Difference("cache", f"task {name} from the cache", f"{old['cached']} ×", f"{new['cached']} ×")
        else:
            short, long = sorted(one["spent"].total_seconds() for one in (old, new))
            if long - short >= 1 and long >= FACTOR * short:
                times = (period_text(old["spent"]), period_text(new["spent"]))
                yield Difference("duration", f"task {name}", *times)


def _times(row: Mapping[str, Any] | None) -> str:
    number = row["number"] if row else 0
    return f"{number:,} run{'' if number == 1 else 's'}"
