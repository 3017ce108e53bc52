"""How events belong to flow runs, task runs, deployments and work. Automations and messages belong to no object."""

from __future__ import annotations

from orchestration.sight import Reach, addressed, belongings, nothing
from runs.belongings import of_flow_run

_ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def of_event(reach: Reach, row: str) -> str:
    """Show an event with the object that it is about."""
    runs, task_runs = reach.table("runs_flowrun"), reach.table("runs_taskrun")
    flow_run, task_run = _id(reach, row, "prefect.flow-run."), _id(reach, row, "prefect.task-run.")
    return (
        f"({row}.resource_id IN {reach.resources} OR "
        f"EXISTS (SELECT 1 FROM {runs} f WHERE f.id = {flow_run} AND {of_flow_run(reach, 'f')}) OR "
        f"EXISTS (SELECT 1 FROM {task_runs} k JOIN {runs} f ON f.id = k.flow_run_id "
        f"WHERE k.id = {task_run} AND {of_flow_run(reach, 'f')}))"
    )


def _id(reach: Reach, row: str, kind: str) -> str:
    """Return SQL for the id in the name of a resource of that kind; null for others. Any client may report any name."""
    begin, rest = f"substr({row}.resource_id, 1, {len(kind)})", f"substr({row}.resource_id, {len(kind) + 1})"
    # CASE, because only this fixes what is evaluated first: on PostgreSQL the cast of another text would fail.
    if reach.is_sqlite:
        return f"CASE WHEN {begin} = '{kind}' THEN orion_id({rest}) END"
    return f"CASE WHEN {begin} = '{kind}' AND {rest} ~ '^{_ID}$' THEN ({rest})::uuid END"


belongings.update(
    {
        "events_event": of_event,
        "events_automation": nothing,
        "events_tally": nothing,
        "events_firing": nothing,
        "events_notificationpolicy": nothing,
        "events_notification": nothing,
        "events_toldstatus": nothing,
    }
)
addressed.update({"events/<event_id>": ("events_event", "id")})
