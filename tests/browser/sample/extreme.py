"""Names and numbers at the edges of what is allowed: 255 letters without a space, right to left, emoji, 10,000 tags.

`python -m tests.browser.sample.extreme` writes them into the home and prints the pages that show them.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import django

# 255 characters, the longest name that a flow may have.
UNBROKEN = ("Donaudampfschifffahrtsgesellschaftskapitaen" * 6)[:255]
ARABIC = "تسوية المدفوعات الدولية الموحدة بين الشركات التابعة"
EMOJI = "👩‍👩‍👧‍👦 nightly 🚢🇳🇴 etl 🏳️‍🌈✅"
MANY_TAGS, MANY_TASKS, MANY_QUEUES = 10_000, 1_000, 50


def write() -> dict[str, str]:
    """By the name of each picture, the address."""
    from tests.browser.houses import FRAMEWORKS

    pages = {path.strip("/").replace("/", "-"): path for path in FRAMEWORKS if path.startswith("/admin")}
    pages |= _one_of_each() | _in_letters("arabic", ARABIC) | _in_letters("emoji", EMOJI)
    pages |= {"run-many-tags": _tagged(), **_parameters(), **_tasks()}
    _queues()
    lists = (
        "",
        "runs",
        "task-runs",
        "flows",
        "deployments",
        "schedule",
        "problems",
        "work",
        "agents",
        "limits",
        "time",
    )
    more = ("events", "automations", "notifications", "blocks", "variables", "artifacts", "audit", "calendars", "bulk")
    pages |= {name or "home": f"/{name}" for name in (*lists, *more)}
    return pages | {"search": f"/search?q={UNBROKEN[:20]}", "settings-users": "/settings/users", "archive": "/archive"}


def _one_of_each() -> dict[str, str]:
    from tests.web.furnished import furnished

    house = furnished(UNBROKEN)
    pages = _pages_of("unbroken", house["run_id"], house["task_run_id"], house["deployment_id"], house["flow_id"])
    return pages | {
        "queue": f"/work/queues/{house['queue_id']}",
        "agent": f"/agents/{house['agent_id']}",
        "automation": f"/automations/{house['automation_id']}",
        "event": f"/events/{house['event_id']}",
        "problem": f"/problems/{house['problem_id']}",
        "backfill": f"/backfills/{house['backfill_id']}",
        "bulk-action": f"/bulk/{house['bulk_id']}",
        "artifact": f"/artifacts/{house['artifact_id']}",
        "user": f"/settings/users/{house['user_id']}",
        "admin-run": f"/admin/runs/flowrun/{house['run_id']}/change/",
    }


def _in_letters(name: str, text: str) -> dict[str, str]:
    from tests.web.deployments import HOURLY, add_run, make_deployment
    from tests.web.rows import add_lines, make_task_run
    from tests.web.test_variables_page import make_variable

    deployment = make_deployment(text, flow=text, schedules=[HOURLY], description=text, tags=[text])
    run = add_run(deployment, "FAILED", ago=timedelta(minutes=1), name=text, message=text, tags=[text])
    add_run(deployment, "SCHEDULED", ago=timedelta(hours=1), name=text, state_name="Late")
    task_run = make_task_run(text, flow_run=run, state="FAILED", message=text, task_key=text)
    add_lines(run, f"12 {text} 34", text, task_run=task_run)
    make_variable(f"in_{name}", text, tags=[text])
    return _pages_of(name, run.pk, task_run.pk, deployment.pk, run.flow_id)


def _pages_of(name: str, run: UUID, task_run: UUID, deployment: UUID, flow: UUID) -> dict[str, str]:
    pages = {
        "run": f"/runs/{run}",
        "run-tasks": f"/runs/{run}?tab=tasks",
        "run-logs": f"/runs/{run}?tab=logs",
        "run-graph": f"/runs/{run}?tab=graph",
        "run-radar": f"/runs/{run}?tab=graph&view=radar",
        "run-history": f"/runs/{run}?tab=history",
        "task-run": f"/task-runs/{task_run}",
        "flow": f"/flows/{flow}",
        "deployment": f"/deployments/{deployment}",
        "deployment-schedules": f"/deployments/{deployment}?tab=schedules",
        "deployment-run": f"/deployments/{deployment}/run",
    }
    return {f"{page}-{name}": address for page, address in pages.items()}


def _tagged() -> str:
    from tests.web.rows import make_run

    run = make_run("tagged", tags=[f"customer-{number}" for number in range(MANY_TAGS)])
    return f"/runs/{run.pk}"


def _parameters() -> dict[str, str]:
    from tests.web.deployments import add_run, make_deployment

    deep: dict[str, Any] = {"leaf": UNBROKEN}
    for level in range(60):
        deep = {f"level_{level}": deep}
    values = {
        "rows": [{"customer": number, "name": UNBROKEN[:40]} for number in range(10_000)],
        "deep": deep,
        "text": UNBROKEN * 40,
        **{f"option_{number}": number for number in range(300)},
    }
    schema = {"type": "object", "properties": {name: {"title": name} for name in values}}
    deployment = make_deployment("huge-parameters", parameters=values, parameter_openapi_schema=schema)
    run = add_run(deployment, "COMPLETED", ago=timedelta(minutes=1), name="huge-parameters", parameters=values)
    return {
        "run-huge-parameters": f"/runs/{run.pk}?tab=parameters",
        "deployment-huge-parameters": f"/deployments/{deployment.pk}?tab=parameters",
        "deployment-run-huge-parameters": f"/deployments/{deployment.pk}/run",
    }


def _tasks() -> dict[str, str]:
    from django.utils import timezone

    from runs.models import TaskRun
    from tests.web.rows import make_run, run_columns

    now = timezone.now() - timedelta(hours=1)
    run = make_run("a-thousand-tasks", state="RUNNING", at=now)
    before: list[TaskRun] = []
    for key in range(20):
        inputs = {"rows": [{"input_type": "task_run", "id": str(one.pk)} for one in before[:5]]}
        rows = []
        for number in range(MANY_TASKS // 20):
            state = "FAILED" if number % 17 == 3 else "COMPLETED"
            columns = run_columns(state, now + timedelta(seconds=20 * key + number))
            named = {"name": f"load_{key}-{number}", "task_key": f"etl.load_{key}", "dynamic_key": str(number)}
            rows.append(TaskRun(flow_run=run, task_inputs=inputs, state_name=state.capitalize(), **named, **columns))
        before = TaskRun.objects.bulk_create(rows)
    tabs = {"": "", "-tasks": "?tab=tasks", "-graph": "?tab=graph", "-radar": "?tab=graph&view=radar"}
    return {f"run-many-tasks{name}": f"/runs/{run.pk}{query}" for name, query in tabs.items()}


def _queues() -> None:
    from deployments.models import WorkPool, WorkQueue

    pool = WorkPool.objects.create(name=UNBROKEN[1:], type="process", description=ARABIC)
    for number in range(MANY_QUEUES):
        name = UNBROKEN if number == 7 else f"queue-{number}"
        WorkQueue.objects.create(name=name, work_pool=pool, concurrency_limit=number * 1000 or None)


if __name__ == "__main__":
    django.setup()
    print(json.dumps(write()))
