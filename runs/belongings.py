"""How the rows of runs belong to deployments, tags and work queues: a user who sees a flow run also sees its rows."""

from __future__ import annotations

from orchestration.sight import Condition, Reach, addressed, belongings, everything, nothing, shared_tables


def of_flow_run(reach: Reach, row: str) -> str:
    """A flow run belongs to its deployment, its queue, its tags and its starter, and so do the runs nested in it."""
    runs, task_runs = reach.table("runs_flowrun"), reach.table("runs_taskrun")
    return (
        f"({_own(reach, row)} OR {row}.parent_task_run_id IS NOT NULL AND EXISTS ("
        f"WITH RECURSIVE above(id) AS (SELECT {row}.parent_task_run_id UNION "
        f"SELECT r.parent_task_run_id FROM above JOIN {task_runs} t ON t.id = above.id "
        f"JOIN {runs} r ON r.id = t.flow_run_id WHERE r.parent_task_run_id IS NOT NULL) "
        f"SELECT 1 FROM above JOIN {task_runs} t ON t.id = above.id "
        f"JOIN {runs} r ON r.id = t.flow_run_id WHERE {_own(reach, 'r')}))"
    )


def _own(reach: Reach, row: str) -> str:
    conditions = [f"{row}.deployment_id IN {reach.deployments}", f"{row}.work_queue_id IN {reach.queues}"]
    if reach.runs != "(NULL)":
        conditions.append(f"{row}.id IN {reach.runs}")
    if reach.starters != "(NULL)":
        # The id alone is not enough: the creator of a run can choose the id of a deployment or a user for it.
        id, kind = (_field_of_creator(reach, row, name) for name in ("id", "type"))
        conditions.append(f"({id} IN {reach.starters} AND {kind} = 'FLOW_RUN')")
    if reach.tags != "(NULL)":
        tags = reach.table("runs_flowruntag")
        conditions.append(f"EXISTS (SELECT 1 FROM {tags} g WHERE g.run_id = {row}.id AND g.tag IN {reach.tags})")
    return f"({' OR '.join(conditions)})"


def _field_of_creator(reach: Reach, row: str, name: str) -> str:
    return f"json_extract({row}.created_by, '$.{name}')" if reach.is_sqlite else f"({row}.created_by ->> '{name}')"


def through_flow_run(column: str) -> Condition:
    def condition(reach: Reach, row: str) -> str:
        runs = reach.table("runs_flowrun")
        return f"EXISTS (SELECT 1 FROM {runs} f WHERE f.id = {row}.{column} AND {of_flow_run(reach, 'f')})"

    return condition


def through_task_run(column: str) -> Condition:
    def condition(reach: Reach, row: str) -> str:
        task_runs, runs = reach.table("runs_taskrun"), reach.table("runs_flowrun")
        below_it = (
            f"EXISTS (SELECT 1 FROM {task_runs} k JOIN {runs} f ON f.id = k.flow_run_id "
            f"WHERE k.id = {row}.{column} AND {of_flow_run(reach, 'f')})"
        )
        if reach.starters == "(NULL)":
            return below_it
        offered = f"SELECT 1 FROM {task_runs} k WHERE k.id = {row}.{column} AND {_was_offered(reach, 'k')}"
        return f"({below_it} OR EXISTS ({offered}))"

    return condition


def of_task_run(reach: Reach, row: str) -> str:
    """A task run belongs to its flow run; without one, to the run that submitted it."""
    below_it = through_flow_run("flow_run_id")(reach, row)
    return below_it if reach.starters == "(NULL)" else f"({below_it} OR {_was_offered(reach, row)})"


def _was_offered(reach: Reach, row: str) -> str:
    """Match task runs outside of flows: their dynamic key starts with the id of the run that submitted them."""
    return f"({row}.flow_run_id IS NULL AND substr({row}.dynamic_key, 1, 36) IN {reach.starters})"


def of_either_run(reach: Reach, row: str) -> str:
    flow_run, task_run = through_flow_run("flow_run_id"), through_task_run("task_run_id")
    return f"({flow_run(reach, row)} OR {row}.flow_run_id IS NULL AND {task_run(reach, row)})"


def of_flow(reach: Reach, row: str) -> str:
    """A flow is visible with any of its deployments or runs."""
    deployments, runs = reach.table("deployments_deployment"), reach.table("runs_flowrun")
    return (
        f"({row}.id IN (SELECT d.flow_id FROM {deployments} d WHERE d.id IN {reach.deployments_seen}) OR "
        f"EXISTS (SELECT 1 FROM {runs} f WHERE f.flow_id = {row}.id AND {of_flow_run(reach, 'f')}))"
    )


def of_environment(reach: Reach, row: str) -> str:
    """An environment is visible with any run that was executed in it."""
    runs = reach.table("runs_flowrun")
    return f"EXISTS (SELECT 1 FROM {runs} f WHERE f.environment_id = {row}.id AND {of_flow_run(reach, 'f')})"


def of_newest_artifact(reach: Reach, row: str) -> str:
    artifacts = reach.table("runs_artifact")
    return f"EXISTS (SELECT 1 FROM {artifacts} a WHERE a.id = {row}.latest_id AND {of_either_run(reach, 'a')})"


def of_problem(reach: Reach, row: str) -> str:
    """A problem is visible with any run that failed by it."""
    occurrences, runs = reach.table("runs_occurrence"), reach.table("runs_flowrun")
    return (
        f"EXISTS (SELECT 1 FROM {occurrences} c JOIN {runs} f ON f.id = c.run_id "
        f"WHERE c.problem_id = {row}.id AND {of_flow_run(reach, 'f')})"
    )


def of_bulk_action(reach: Reach, row: str) -> str:
    """A bulk action is visible to users who see all of its runs that still exist; without any such run, to nobody."""
    bulk_runs, runs = reach.table("runs_bulkrun"), reach.table("runs_flowrun")
    of_it = f"SELECT 1 FROM {bulk_runs} b JOIN {runs} f ON f.id = b.run_id WHERE b.bulk_action_id = {row}.id"
    # The condition is NULL when the user's roles name nothing of a kind; that counts as not visible.
    return f"(EXISTS ({of_it}) AND NOT EXISTS ({of_it} AND {of_flow_run(reach, 'f')} IS NOT TRUE))"


belongings.update(
    {
        "runs_environment": of_environment,
        "runs_flow": of_flow,
        "runs_flowrun": of_flow_run,
        "runs_flowrunstate": through_flow_run("flow_run_id"),
        "runs_flowruntag": through_flow_run("run_id"),
        "runs_runretry": through_flow_run("flow_run_id"),
        "runs_flowruninput": through_flow_run("flow_run_id"),
        "runs_taskrun": of_task_run,
        "runs_taskrunstate": through_task_run("task_run_id"),
        "runs_taskruntag": through_task_run("run_id"),
        "runs_heldcall": through_task_run("task_run_id"),
        "runs_log": of_either_run,
        "runs_artifact": of_either_run,
        "runs_artifactcollection": of_newest_artifact,
        "runs_bulkaction": of_bulk_action,
        "runs_bulkrun": through_flow_run("run_id"),
        "runs_problem": of_problem,
        "runs_occurrence": through_flow_run("run_id"),
        # Totals over all runs. For a user who sees only some, the runs are counted instead
        # (`runs.lists.filters.subjects`).
        "runs_rollup": nothing,
        "runs_rollupchange": nothing,
        "runs_cacheentry": nothing,
        # Filters that users saved, which may name anything.
        "runs_savedsearch": nothing,
        # Each user asks for their own, which only name a view.
        "runs_defaultview": everything,
        "runs_conversion": nothing,
    }
)
shared_tables.update({"runs_flow", "runs_problem"})
addressed.update(
    {
        "api/environments/<id>": ("runs_environment", "id"),
        "api/flow_runs/<id>": ("runs_flowrun", "id"),
        "api/task_runs/<id>": ("runs_taskrun", "id"),
        "api/flow_run_states/<id>": ("runs_flowrunstate", "id"),
        # There is no line for states of task runs: most have no row, and the API finds none of runs that the user
        # cannot see.
        "api/flows/<id>": ("runs_flow", "id"),
        "api/artifacts/<id>": ("runs_artifact", "id"),
        "api/bulk_actions/<id>": ("runs_bulkaction", "id"),
        "api/problems/<id>": ("runs_problem", "id"),
        "problems/<problem_id>": ("runs_problem", "id"),
        "bulk/<bulk_id>": ("runs_bulkaction", "id"),
        "runs/<run_id>": ("runs_flowrun", "id"),
        "runs/<base_id>": ("runs_flowrun", "id"),
        "task-runs/<run_id>": ("runs_taskrun", "id"),
        "flows/<flow_id>": ("runs_flow", "id"),
        "artifacts/<artifact_id>": ("runs_artifact", "id"),
    }
)
