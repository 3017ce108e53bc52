"""More of everything than fits on a screen, with names that are longer than anybody likes."""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random

from django.test import Client
from django.utils import timezone

from deployments.archive.services import archive_runs
from deployments.backfills.services.backfills import create_backfill
from deployments.backfills.services.planning import NewBackfill
from deployments.models import Deployment, WorkPool, WorkQueue
from deployments.schedules.services.schedules import NewSchedule, add_schedules
from orchestration.core.states import StateType
from orchestration.services import propose_flow_run_state
from orion_site.accounts.roles import Role
from orion_site.accounts.users import create_group, create_user
from runs.bulk_actions.services import NewBulkAction, begin_bulk_action, work_on_bulk_actions
from runs.models import FlowRun
from runs.saved_searches.saved_views import save_view
from tests import factories
from tests.factories import make_artifact, make_limit, make_state
from tests.security.askers import key_of
from tests.web.deployments import HOURLY, NIGHTLY, add_run, make_deployment
from tests.web.furnished import failed_by
from tests.web.rows import add_lines, make_run, make_task_run
from tests.web.test_agents_page import give_run, make_agent
from tests.web.test_automations_page import make_automation, make_firing
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_calendars_page import make_calendar
from tests.web.test_events_page import make_event
from tests.web.test_limits_page import make_global, take
from tests.web.test_notifications_page import make_message, make_policy
from tests.web.test_variables_page import make_variable

LONG = "consolidated-international-settlement-reconciliation"
WORDS = f"{LONG} of the subsidiaries in all countries, including those that report late and by fax"
TAGS = ["prod", "warehouse", "finance", "nightly", "europe-west", LONG]
MESSAGE = f"The flow raised TimeoutError: {LONG}.internal.example:5432 did not answer within 30 s"
STATES = [one.value for one in StateType if one not in {StateType.SCHEDULED}]
PARAMETERS = {
    "type": "object",
    "required": ["day"],
    "properties": {
        "day": {"type": "string", "format": "date", "title": "Day", "description": WORDS},
        "when": {"type": "string", "format": "date-time"},
        "regions": {"type": "array", "items": {"type": "string"}, "default": ["north", "south"]},
        "mode": {"enum": ["full", "incremental", LONG]},
        "dry_run": {"type": "boolean", "default": False},
        "limits": {"type": "object", "properties": {"rows": {"type": "integer"}, "seconds": {"type": "number"}}},
        **{f"{LONG}_{number}": {"type": "string"} for number in range(4)},
    },
}


def write() -> None:
    random = Random(7)
    now = timezone.now()
    queues = _queues()
    for number in range(40):
        deployment = make_deployment(
            f"{LONG}-{number}" if number % 3 else f"daily-{number}",
            flow=f"{LONG}-{number % 12}" if number % 2 else f"etl-{number % 12}",
            schedules=[HOURLY, NIGHTLY] if number % 4 else [],
            tags=TAGS[: number % 7],
            description=f"# {WORDS}\n\n" + f"{WORDS}. " * 20,
            parameter_openapi_schema=PARAMETERS,
            parameters={"day": "2026-11-20", "regions": [LONG] * 3},
        )
        for back in range(30):
            state = random.choice(["COMPLETED"] * 6 + STATES)
            add_run(
                deployment,
                state,
                ago=timedelta(minutes=random.randrange(1, 60 * 24)),
                name=f"{LONG}-{back}" if back % 4 == 0 else f"run-{number}-{back}",
                message=f"{MESSAGE} ({'abcdefgh'[number % 8]}{'xyz'[back % 3]})"
                if state in {"FAILED", "CRASHED"}
                else None,
                tags=TAGS[: back % 7],
                work_queue_id=random.choice(queues).pk,
                total_run_time=timedelta(seconds=random.lognormvariate(4, 2)),
            )
        add_run(deployment, "SCHEDULED", ago=-timedelta(minutes=7 * number + 5), name=f"planned-{number}")
        add_run(
            deployment, "SCHEDULED", ago=timedelta(minutes=20), name=f"late-{number}", state_name="Late",
            work_queue_id=random.choice(queues).pk,
        )  # fmt: skip
    _long_run(Deployment.objects.all()[0])
    _rest(Deployment.objects.order_by("name")[0])
    _chain(Deployment.objects.all()[1])
    _people()
    _changes()
    _old_runs()
    _many_at_once()
    for run in FlowRun.objects.filter(state_type="FAILED").exclude(state_id=None)[:30]:
        failed_by(run, f"TimeoutError: {LONG}.internal.example:5432 did not answer within {run.pk.int % 97} s", now)
    for view in range(12):
        save_view(
            list_name="runs", name=f"{LONG} {view}" if view % 3 == 0 else f"view {view}", query="state=failed", now=now
        )


def _queues() -> list[WorkQueue]:
    for pool in range(6):
        made = WorkPool.objects.create(
            name=f"{LONG}-{pool}" if pool % 2 else f"pool-{pool}", type="process", description=WORDS
        )
        for queue in range(5):
            WorkQueue.objects.create(
                name=f"{LONG}-{queue}" if queue == 3 else f"queue-{queue}", work_pool=made, description=WORDS,
                concurrency_limit=queue or None, is_paused=queue == 4,
            )  # fmt: skip
    return list(WorkQueue.objects.all())


def _long_run(deployment: Deployment) -> None:
    """A run with many tasks of many keys, a long log, results and artifacts; it failed."""
    now = timezone.now() - timedelta(minutes=30)
    run = add_run(deployment, "FAILED", ago=timedelta(minutes=30), name=f"the-{LONG}", message=MESSAGE, tags=TAGS)
    FlowRun.objects.filter(pk=run.pk).update(parameters={"regions": [LONG] * 30, WORDS: {"a": [1, 2, {"b": WORDS}]}})
    before = []
    for key in range(24):
        rows = [
            make_task_run(
                f"{LONG}-{key}-{number}" if key % 3 == 0 else f"load-{key}-{number}",
                flow_run=run,
                state="FAILED" if key == 23 else STATES[(key + number) % len(STATES)] if key % 7 == 6 else "COMPLETED",
                message=MESSAGE if key % 7 == 6 else None,
                at=now + timedelta(seconds=20 * key + number),
                task_key=f"pipelines.{LONG if key % 3 == 0 else 'etl'}.load_{key}",
                task_inputs={"rows": [{"input_type": "task_run", "id": str(one.pk)} for one in before]},
                tags=TAGS[: key % 5],
            )
            for number in range(1 + 9 * (key % 4 == 2))
        ]
        before = rows[:3]
    add_lines(run, *(f"line {number} of {WORDS}" for number in range(700)))
    add_lines(
        run, f'Traceback (most recent call last):\n  File "{LONG}.py", line 7\n{MESSAGE}', level=40, task_run=before[0]
    )
    for number in range(30):
        make_artifact(f"{LONG}-{number}".lower(), flow_run_id=run.pk, data=f"# {WORDS}\n\n{WORDS}", description=WORDS)
    table = [{f"{LONG}_{column}": f"{column} {WORDS}" for column in range(12)} for _ in range(40)]
    make_artifact("a-table", type="table", data=json.dumps(table), flow_run_id=run.pk)


def _chain(deployment: Deployment) -> None:
    """A run of forty steps, each of which takes what the one before made."""
    run = add_run(deployment, "COMPLETED", ago=timedelta(minutes=50), name="forty-steps")
    before = None
    for step in range(40):
        inputs = {"rows": [{"input_type": "task_run", "id": str(before.pk)}]} if before else {}
        before = make_task_run(f"step-{step}", flow_run=run, task_key=f"steps.step_{step}", task_inputs=inputs)


def _old_runs() -> None:
    """More runs in the archive than a page shows."""
    now = timezone.now()
    for number in range(70):
        at = now - timedelta(days=40, hours=7 * number)
        flow = factories.make_flow(f"{LONG}-{number % 5}" if number % 2 else f"etl-{number % 5}", now=at)
        name = f"{LONG}-{number}" if number % 3 == 0 else f"old-{number}"
        run = factories.make_flow_run("RUNNING", flow=flow, now=at, name=name, parameters={"regions": [LONG] * 9})
        for line in range(30 * (number == 0)):
            factories.make_task_run(
                "RUNNING", flow_run=run, now=at, name=f"{LONG}-{line}" if line % 3 else f"load-{line}"
            )
            factories.make_log(f"line {line} of {WORDS}", flow_run=run, now=at)
        state = make_state("FAILED", message=MESSAGE) if number % 6 == 0 else make_state("COMPLETED")
        propose_flow_run_state(run_id=run.pk, proposed=state, now=at + timedelta(minutes=number))
    archive_runs(older_than=timedelta(days=30), now=now)


def _many_at_once() -> None:
    """A bulk action under way: what it can do first, then what is refused."""
    now = timezone.now()
    late = FlowRun.objects.filter(state_name="Late").values_list("pk", "name")[:20]
    over = FlowRun.objects.filter(state_type="COMPLETED").values_list("pk", "name")
    asked = NewBulkAction(
        action="cancel",
        runs=[*late, *list(over) * 10][:9000],
        filter={"query": f"tag={LONG}"},
        author="ada",
        entrance="page",
    )
    begin_bulk_action(new=asked, now=now)
    work_on_bulk_actions(now)


def _people() -> None:
    roles = [one.value for one in Role]
    for number in range(12):
        create_group(name=f"{LONG}-{number}" if number % 3 == 0 else f"team-{number}", roles=roles[: number % 5])
    for number in range(30):
        name = f"{LONG[:40]}.{number}" if number % 4 == 0 else f"person-{number}"
        user = create_user(name=name, groups=[f"team-{1 + number % 2}"], roles=roles[number % 5 :][:2])
        key_of(user, name=f"{LONG}-{number}" if number % 3 == 0 else f"laptop {number}")


def _changes() -> None:
    """Changes for the audit log: of texts short and long, of switches, and some that were refused."""
    browser = Client(headers={"host": "127.0.0.1:4200"})
    browser.force_login(create_user(name="operator-of-the-night", roles=[Role.ADMIN]))
    for number in range(20):
        name = f"{LONG}_{number}".replace("-", "_") if number % 3 == 0 else f"changed_{number}"
        browser.post("/variables/new", {"name": name, "value": WORDS * (number % 3), "tags": ",".join(TAGS)})
        browser.post("/variables/new", {"name": name, "value": "again", "tags": ""})
    for deployment in Deployment.objects.all()[:20]:
        browser.post(f"/deployments/{deployment.pk}/pause")
        browser.post(f"/deployments/{deployment.pk}/resume")


def _rest(deployment: Deployment) -> None:
    now = timezone.now()
    for number in range(14):
        agent = make_agent(f"agent-{number}-{LONG}"[: 20 + 30 * (number % 2)], slots=8, minutes_ago=9 * (number > 9))
        for run in range(number % 6):
            give_run(agent, f"{LONG}-held-{number}-{run}")
        if number < 10:
            # The agent counts as online for the next hour, while the pictures are taken.
            type(agent).objects.filter(pk=agent.pk).update(offline_at=now + timedelta(hours=1))
        tag = f"tag-{number}" if number % 3 else f"{LONG}-{number}"
        make_limit(
            tag, 10, taken_by=[make_task_run(f"{LONG}-{one}", state="RUNNING") for one in range(min(number, 10))]
        )
        make_global(f"database-{number}", slots=4)
        for _ in range(number % 5):
            take(f"database-{number}", make_run(f"taker-{number}", state="RUNNING"))
    schema = make_schema()
    blocks = [make_block(schema, f"shop-{number}" if number % 3 else f"{LONG}-{number}") for number in range(30)]
    for number in range(25):
        automation = make_automation(f"{LONG} {number}" if number % 3 == 0 else f"watch {number}", description=WORDS)
        make_firing(automation, error=MESSAGE if number % 4 == 0 else "")
        make_policy(blocks[0].pk, name=f"{LONG} {number}" if number % 3 == 0 else f"failures {number}", tags=TAGS)
        make_message(blocks[0].pk)
    for number in range(80):
        make_event(
            f"shop.{LONG}.paid" if number % 4 == 0 else "shop.order.paid", f"{LONG}.{number}", payload={LONG: WORDS}
        )
        make_variable(
            f"{LONG}_{number}".replace("-", "_") if number % 4 == 0 else f"region_{number}",
            WORDS * 3,
            tags=TAGS[: number % 7],
        )
    for number in range(12):
        make_calendar(f"{LONG}-{number}" if number % 3 == 0 else f"holidays-{number}")
        add_schedules(
            deployment_id=deployment.pk,
            new=[NewSchedule(definition=NIGHTLY, calendars=[f"holidays-{1}"] if number else [])],
            now=now,
        )
    for days in (200, 3):
        asked = NewBackfill(
            start=now - timedelta(days=days),
            end=now,
            definition=HOURLY if days == 3 else NIGHTLY,
            parameters={"day": "2026-11-20"},
        )
        create_backfill(deployment_id=deployment.pk, new=asked, now=now)
