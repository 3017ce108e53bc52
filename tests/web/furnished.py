"""One row of each kind, all with the same text in every field, for tests that walk over all pages."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from deployments.archive.place import is_configured
from deployments.archive.services import archive_runs
from deployments.backfills.services.backfills import create_backfill
from deployments.backfills.services.planning import NewBackfill
from deployments.blocks.services.variables import create_variable
from deployments.definitions.core.code_sources import CodeSource, SourceKind
from deployments.definitions.services.discovery import ask_for_flows
from deployments.models import Deployment, GlobalSlot, Schedule, WorkPool, WorkQueue
from deployments.schedules.services.calendars import create_calendar
from events.models import Event, NotificationPolicy
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orion_site.accounts.models import ApiKey
from orion_site.accounts.users import create_group, create_user
from orionflow.contract.discovery import ARTIFACT_TYPE
from runs.bulk_actions.services import NewBulkAction, begin_bulk_action, finish_at_once
from runs.models import Artifact, BulkRun, FlowRun, Occurrence, Problem, SavedSearch, TaskRun
from runs.saved_searches.saved_views import save_view
from tests import factories
from tests.factories import make_artifact, make_flow_run, make_limit, make_state
from tests.security.askers import key_of
from tests.web.deployments import HOURLY, add_run, make_deployment
from tests.web.rows import add_lines, make_run, make_task_run
from tests.web.test_agents_page import give_run, make_agent
from tests.web.test_automations_page import make_automation, make_firing
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_limits_page import make_global, take
from tests.web.test_resume_page import ask, pausing

EVIL = "\"'><hr evil><script>evil()</script>{{ 7|add:7 }}\u202eabc\u200b"
SECRET = "hunter2-is-nowhere"
HOLIDAYS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART;VALUE=DATE:{}\r\nSUMMARY:" + EVIL + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
).replace("{{ 7|add:7 }}", "")


def furnished(text: str) -> dict[str, Any]:
    """Make one row of each kind with `text` in every text field, and return their ids by the parameters of routes."""
    now = timezone.now()
    deployment = deployed(text)
    run, task_run = ran(deployment, text, now)
    ids = limited(text, run, task_run) | served(text) | announced(text, now) | left_by(run, text)
    ids |= cancelled_in_bulk(run, text, now) | planned(deployment, text, now) | failed_by(run, text, now)
    ids |= admitted(text) | archived(text, now) | asking_for(text, run)
    return {
        **ids,
        "deployment_id": deployment.pk,
        "run_id": run.pk,
        "base_id": run.pk,
        "flow_id": run.flow_id,
        "task-runs": task_run.pk,
        "task_run_id": task_run.pk,
        "list_name": "runs",
        "search_id": saved(text, now).pk,
        "variable_id": create_variable(name="evil", value=text, tags=[text], now=now).pk,
        "number": 0,
        "action": "cancel",
        "slug": "login",
    }


def saved(text: str, now: datetime) -> SavedSearch:
    view = save_view(list_name="runs", name="evil", query=text, now=now)
    SavedSearch.objects.filter(pk=view.pk).update(name=text)
    return view


def deployed(text: str) -> Deployment:
    return make_deployment(
        text,
        flow=text,
        schedules=[HOURLY],
        description=f"[a](javascript:evil()) [b](JaVaScRiPt:evil()) {text}",
        tags=[text],
        parameters={text: text, "text": text},
        parameter_openapi_schema={
            "type": "object",
            "properties": {
                "text": {"type": "string", "title": text, "description": text},
                "number": {"type": "number"},
                "when": {"type": "string", "format": "date-time"},
                "day": {"type": "string", "format": "date"},
                "choice": {"enum": [text, 1, None]},
                "whatever": {},
                text: {"type": "array", "items": {"type": "integer"}},
            },
        },
    )


def ran(deployment: Deployment, text: str, now: datetime) -> tuple[FlowRun, TaskRun]:
    """Runs that failed, are planned, are late and were refused; with task runs and logs."""
    run = add_run(deployment, "FAILED", ago=timedelta(minutes=5), name=text, message=text, tags=[text])
    add_run(deployment, "SCHEDULED", ago=-timedelta(minutes=5), name=text)
    add_run(deployment, "SCHEDULED", ago=timedelta(hours=1), name=text, state_name="Late")
    task_run = make_task_run(text, flow_run=run, state="FAILED", message=text, at=now, tags=[text], task_key=text)
    add_lines(run, f"Traceback (most recent call last):\n  {text}", text, level=40, task_run=task_run)
    trace = [["R1", text, text]]
    make_run(text, state="PENDING", trail=trace, flow=run.flow, at=now)
    return run, task_run


def asking_for(text: str, run: FlowRun) -> dict[str, Any]:
    """A run of the same flow that is paused until somebody answers."""
    fields = {
        "approved": {"type": "boolean", "title": text, "description": text},
        "pieces": {"type": "integer", "minimum": 1, "default": 1},
        "choice": {"enum": [text, "another"]},
        text: {"type": "string", "default": text},
    }
    question = {"type": "object", "properties": fields, "required": ["approved"]}
    paused = make_flow_run(pausing(), flow=run.flow, name=text, now=timezone.now())
    return {"paused_run_id": ask(paused, question, text).pk}


def limited(text: str, run: FlowRun, task_run: TaskRun) -> dict[str, Any]:
    """Limits of both kinds, each with a holder."""
    limit = make_limit(text, 2, taken_by=[task_run])
    shared = make_global("shared")
    take("shared", run)
    type(shared).objects.filter(pk=shared.pk).update(name=text)
    return {
        "limit_id": limit.pk,
        "global": shared.pk,
        "lease_id": GlobalSlot.objects.values_list("pk", flat=True)[0],
    }


def served(text: str) -> dict[str, Any]:
    """An agent with a run, and its pool and queue."""
    agent = make_agent("w1")
    type(agent).objects.filter(pk=agent.pk).update(name=text, host=text)
    give_run(agent, text)
    WorkPool.objects.update(description=text, name=text)
    queue = WorkQueue.objects.all()[0]
    WorkQueue.objects.filter(pk=queue.pk).update(name=text, description=text)
    return {"agent_id": agent.pk, "pool_id": queue.work_pool_id, "queue_id": queue.pk}


def announced(text: str, now: datetime) -> dict[str, Any]:
    """A block, a policy that sends through it, an automation that fired, and an event."""
    schema = make_schema()
    block = make_block(schema, user=text, password=SECRET, options={text: text})
    type(block).objects.filter(pk=block.pk).update(name=text)
    policy = NotificationPolicy.objects.create(
        name=text, state_types=["FAILED"], tags=[text], flow_names=[text], block_document_id=block.pk
    )
    automation = make_automation(description=text)
    type(automation).objects.filter(pk=automation.pk).update(name=text)
    make_firing(automation, error=text)
    event = Event.objects.create(
        event=text, occurred=now, resource_id=text, resource={"prefect.resource.id": text}, payload={text: text}
    )
    return {"block_id": block.pk, "policy_id": policy.pk, "automation_id": automation.pk, "event_id": event.pk}


def left_by(run: FlowRun, text: str) -> dict[str, Any]:
    """Artifacts: a text with links, and a table."""
    artifact = make_artifact("report", flow_run_id=run.pk, data=f"# {text}\n\n[a](javascript:evil()) <b evil>")
    Artifact.objects.filter(pk=artifact.pk).update(key=text, description=text)
    make_artifact("table", type="table", data=json.dumps([{text: text}]), flow_run_id=run.pk)
    return {"artifact_id": artifact.pk}


def cancelled_in_bulk(run: FlowRun, text: str, now: datetime) -> dict[str, Any]:
    """A bulk action that the rules refused."""
    command = NewBulkAction(
        action="cancel", runs=[(run.pk, text)], filter={"query": text}, author=text, entrance="page"
    )
    bulk = finish_at_once(bulk_id=begin_bulk_action(new=command, now=now).pk, now=now)
    type(bulk).objects.update(reasons={text: 1})
    BulkRun.objects.update(reason=text)
    return {"bulk_id": bulk.pk}


def failed_by(run: FlowRun, text: str, now: datetime) -> dict[str, Any]:
    """A problem that the run failed by once."""
    problem = Problem.objects.create(
        **dict.fromkeys(("type", "place", "message", "example", "version", "assignee", "resolution"), text),
        since=now,
        first_seen=now,
        last_seen=now,
        failures=1,
    )
    Occurrence.objects.create(
        id=run.state_id, problem_id=problem.pk, run=run, flow_id=run.flow_id, seen_at=now, is_pending=False
    )
    return {"problem_id": problem.pk}


def planned(deployment: Deployment, text: str, now: datetime) -> dict[str, Any]:
    """A backfill, a search for flows with its answer, and a calendar that a schedule follows."""
    asked = NewBackfill(start=now - timedelta(days=3), end=now, definition=HOURLY, parameters={text: text})
    backfill = create_backfill(deployment_id=deployment.pk, new=asked, now=now)
    type(backfill).objects.update(name=text, calendars=[text], problem=text, work_queue_name=text, time_parameter=text)
    source = CodeSource(SourceKind.MODULE, text)
    search = ask_for_flows(source=source, pool_name=WorkPool.objects.all()[0].name, queue_name=text, now=now)
    found = {"name": "plain", "entrypoint": text, "description": text, "tags": [text], "parameters": {text: text}}
    answer = {"flows": [found], "problems": [{"file": text, "reason": text}]}
    make_artifact(None, type=ARTIFACT_TYPE, flow_run_id=search.pk, data=json.dumps(answer))
    calendar = create_calendar(name="days", ics=HOLIDAYS.format(f"{now:%Y%m%d}"), now=now)
    Schedule.objects.get().calendars.add(calendar)
    type(calendar).objects.update(name=text, description=text)
    return {
        "backfill_id": backfill.pk,
        "search": search.pk,
        "calendar_id": calendar.pk,
        "schedule_id": Schedule.objects.get().pk,
    }


def admitted(text: str) -> dict[str, Any]:
    """A user with a key, in a group."""
    user, group = create_user(name="ada"), create_group(name="team", roles=["viewer"])
    user.groups.add(group)
    key_of(user, "viewer")
    ApiKey.objects.filter(user=user).update(name=text)
    type(user).objects.filter(pk=user.pk).update(username=text)
    type(group).objects.filter(pk=group.pk).update(name=text)
    return {"user_id": user.pk, "group_id": group.pk}


def archived(text: str, now: datetime) -> dict[str, Any]:
    """A run in the archive, where a server has one."""
    if not is_configured():
        return {}
    old = now - timedelta(days=60)
    flow = factories.make_flow(text, now=old)
    run = factories.make_flow_run("RUNNING", flow=flow, now=old, name=text, parameters={text: text})
    task = factories.make_task_run("RUNNING", flow_run=run, now=old, name=text)
    factories.make_log(text, flow_run=run, now=old)
    propose_task_run_state(run_id=task.pk, proposed=make_state("FAILED", message=text), now=old)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("FAILED", message=text), now=old)
    archive_runs(older_than=timedelta(days=30), now=now)
    return {"archived": run.pk}
