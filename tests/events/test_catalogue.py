"""The list of recorded events says what is recorded: names, resources, labels, roles and payloads."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from deployments.definitions.services.statuses import record_pool_status, record_queue_status, record_statuses
from deployments.dispatch.services.lateness import watch_deadlines
from deployments.models import Deadline, Deployment, Worker, WorkPool, WorkQueue
from deployments.upkeep.services.settings import change_setting, reset_setting
from deployments.work.services.work_queues import default_queue
from events.automations.services.automations import create_automation
from events.models import Event
from events.recording.catalogue import RECORDED, STATE, Recorded
from orchestration.services import propose_flow_run_state
from orionflow.contract.fingerprints import cause_of
from orionflow.contract.kinds import RESOURCE_ID, RESOURCE_ROLE
from runs.models import Problem
from runs.problems.services.counting import work_on_problems
from runs.problems.services.decisions import resolve_problem
from tests.events.automations import NOTHING, act, happen, trigger
from tests.factories import NOON, later, make_flow, make_flow_run, make_state
from tests.homes import ROOT

pytestmark = pytest.mark.django_db


def kind_of(event: Event) -> Recorded | None:
    known = (kind for kind in RECORDED if event.event in kind.names)
    of_a_state = (kind for kind in RECORDED if STATE in kind.events and event.event.startswith(kind.prefix))
    return next(known, None) or next(of_a_state, None)


def automation(*actions) -> None:
    columns = {"threshold": 1, "within": 0.0, "match": {}, "match_related": {}, "after": [], "for_each": []}
    create_automation(
        columns={
            "name": "a",
            "trigger": trigger(expect=["sensor.read"], **columns),
            "actions": [*actions],
            "actions_on_trigger": [],
            "actions_on_resolve": [],
        },
        now=NOON,
    )


def deployment() -> Deployment:
    queue = default_queue(WorkPool.objects.create(name="mill", type="process"), NOON)
    return Deployment.objects.create(name="nightly", flow=make_flow("census"), work_queue=queue)


def states() -> None:
    automation(NOTHING)
    made = deployment()
    run = make_flow_run("PENDING", deployment_id=made.pk, work_queue_id=made.work_queue_id, tags=["a"])
    propose_flow_run_state(run_id=run.pk, proposed=make_state("RUNNING"), now=later())


def deadlines() -> None:
    run = make_flow_run(make_state("SCHEDULED", scheduled_time=NOON), deployment_id=deployment().pk)
    for kind in ("start", "finish"):
        Deadline.objects.create(flow_run=run, kind=kind, due=later(10))
    watch_deadlines(later(20))


def problems() -> None:
    cause, flow = cause_of("KeyError", "'price'", [("load.py", "load_rows")]), make_flow("etl")

    def fail(at: float, times: int) -> None:
        for _ in range(times):
            state = make_state("FAILED", message="KeyError: 'price'", cause=cause.as_dict())
            make_flow_run(state, flow=flow, now=later(at), flow_version="1", deployment_id=made.pk)
        work_on_problems(later(at))

    made = deployment()
    fail(1, 1)
    fail(2, 10)
    resolve_problem(problem_id=Problem.objects.get().pk, by="ada", now=later(60))
    fail(120, 1)


def statuses() -> None:
    made = deployment()
    queue = WorkQueue.objects.select_related("work_pool").get(pk=made.work_queue_id)
    assert queue.work_pool is not None
    record_pool_status(queue.work_pool, NOON, is_new=True)
    Worker.objects.create(name="w", work_pool=queue.work_pool, offline_at=later(90), queue_ids=[str(queue.pk)])
    record_statuses(NOON)
    record_statuses(later(600))
    queue.is_paused = queue.work_pool.is_paused = True
    record_queue_status(queue, later(601))
    record_pool_status(queue.work_pool, later(601))


def automations() -> None:
    automation(NOTHING, {"type": "pause-work-queue", "source": "inferred"})
    happen()
    act()


def settings_of_the_server() -> None:
    change_setting(name="ORION_RETENTION_DAYS_RUNS", value=5, author="ada", now=NOON)
    reset_setting(name="ORION_RETENTION_DAYS_RUNS", author="ada", now=later())


@pytest.mark.parametrize(
    "cause",
    [states, deadlines, problems, statuses, automations, settings_of_the_server],
    ids=lambda cause: cause.__name__,
)
def test_recorded_events_agree_with_the_list(cause: Callable[[], None]):
    cause()

    events = [event for event in Event.objects.all() if event.event != "sensor.read"]
    assert events
    for event in events:
        kind = kind_of(event)
        assert kind is not None, event.event
        assert event.resource_id.startswith(f"{kind.resource}.")
        check(set(event.resource) - {RESOURCE_ID}, kind.labels, kind.at_times)
        check({one[RESOURCE_ROLE] for one in event.related}, *roles_of(kind))
        check(set(event.payload), kind.payload, kind.payload_at_times)


def check(found: set[str], always: object, at_times: object) -> None:
    assert set(always) <= found <= {*always, *at_times}  # type: ignore[call-overload]


def roles_of(kind: Recorded) -> tuple[list[str], list[str]]:
    always = [role for role in kind.related if not role.startswith("(")]
    return always, [role.strip("()") for role in kind.related if role.startswith("(")]


def test_each_kind_of_the_list_is_recorded_by_what_is_tried_here():
    for cause in (states, deadlines, problems, automations, settings_of_the_server):
        cause()
        Deployment.objects.all().delete()
        WorkPool.objects.all().delete()
    statuses()

    found = set(Event.objects.values_list("event", flat=True))
    for kind in RECORDED:
        for name in kind.names:
            assert name in found or (STATE in name and any(one.startswith(kind.prefix) for one in found)), name


def test_no_other_code_records_events():
    """A new event has to be added to the list and to the cases here."""
    calls = re.compile(r"\b(?:record_event|new_event)\(")
    folders = ("events", "runs", "deployments", "orchestration", "orion_site")

    callers = {
        file.relative_to(ROOT).as_posix(): len(calls.findall(file.read_text()))
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        if calls.search(file.read_text())
    }

    assert callers == {
        "deployments/definitions/services/statuses.py": 1,
        "deployments/dispatch/services/lateness.py": 1,
        "deployments/upkeep/services/settings.py": 1,
        "events/automations/services/own_events.py": 2,
        "events/recording/outbox.py": 1,
        "events/recording/record.py": 3,
        "runs/problems/services/rows.py": 1,
    }
