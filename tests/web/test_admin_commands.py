"""Commands of operators: each asks first, tries itself without effect, goes through the services, and is logged."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from deployments.definitions.services.deployments import create_deployment
from deployments.models import (
    ConcurrencyLimit,
    Deployment,
    GlobalLimit,
    GlobalSlot,
    Lease,
    Schedule,
    Slot,
    Worker,
    WorkPool,
    WorkQueue,
)
from deployments.schedules.services.schedules import NewSchedule
from events.models import Automation
from orchestration.core.states import StateType
from orion_site.accounts.permissions import LOCAL_OWNER, Action, Actor
from orion_site.operators import commands
from runs.models import FlowRun, FlowRunState, TaskRun
from tests.factories import make_flow_run, make_state
from tests.web.conftest import HOSTILE
from tests.web.rows import NOON, make_flow, make_run, make_task_run
from tests.web.test_admin import address

HOURLY = {"interval": 3600, "anchor_date": "2026-01-01T00:00:00+00:00", "timezone": "UTC"}


def give(browser: Client, model: Any, name: str, *rows: Any, **more: str) -> Any:
    ids = [str(getattr(row, "pk", row)) for row in rows]
    return browser.post(address(model), {"action": name, "_selected_action": ids, **more})


def confirm(browser: Client, model: Any, name: str, *rows: Any, **more: str) -> Any:
    return give(browser, model, name, *rows, confirmed="yes", **more)


def messages_of(answer: Any) -> list[str]:
    return [str(message) for message in answer.wsgi_request._messages]


def state_of(run: Any) -> str:
    run.refresh_from_db()
    return str(run.state_type)


@pytest.fixture
def deployment(db: None) -> Deployment:
    made, _ = create_deployment(
        flow_id=make_flow().pk,
        name="nightly",
        columns={},
        schedules=[NewSchedule(definition=HOURLY)],
        queue_name="default",
        now=NOON,
    )
    return made


def test_a_command_asks_first_and_changes_nothing(browser: Client):
    run = make_run("brave-otter", state="RUNNING")

    page = give(browser, FlowRun, "cancel", run).content.decode()

    assert "<h1>Cancel 1 flow run?</h1>" in page
    assert "A dry run found nothing that would be refused." in page
    assert "brave-otter" in page
    assert state_of(run) == "RUNNING"
    assert FlowRunState.objects.filter(flow_run=run).count() == 2
    assert not LogEntry.objects.exists()


def test_a_confirmed_command_is_done_and_logged_with_who_did_it(browser: Client):
    run = make_run("brave-otter", state="RUNNING")
    browser.get("/admin/")

    answer = confirm(browser, FlowRun, "cancel", run)

    assert answer.status_code == 302
    assert state_of(run) == "CANCELLING"
    assert FlowRunState.objects.latest("seq").author == "local owner"
    (entry,) = LogEntry.objects.all()
    assert (entry.object_id, entry.user.get_username()) == (str(run.pk), "local-owner")
    assert entry.get_change_message() == "Cancel."


def test_a_dry_run_lists_the_rows_left_out_with_the_reason(browser: Client):
    running, over = make_run("here", state="RUNNING"), make_run("there", state="COMPLETED")

    page = give(browser, FlowRun, "cancel", running, over).content.decode()
    answer = confirm(browser, FlowRun, "cancel", running, over)

    assert "<h1>Cancel 1 flow run?</h1>" in page
    assert "1: this run is already in the terminal state" in page
    assert messages_of(answer) == [
        "Cancel: 1 flow run cancelled, or asked to stop.",
        "1 stayed as it is: this run is already in the terminal state Completed",
    ]
    assert state_of(over) == "COMPLETED"


def test_a_failed_run_of_a_deployment_is_tried_again(browser: Client, deployment: Deployment):
    run = make_run("brave-otter", state="FAILED", deployment_id=deployment.pk)
    alone = make_run("calm-fox", state="FAILED")

    page = give(browser, FlowRun, "retry", run, alone).content.decode()
    confirm(browser, FlowRun, "retry", run, alone)

    assert "this run has no deployment" in page
    assert (state_of(run), state_of(alone)) == ("SCHEDULED", "FAILED")


def test_a_run_that_is_not_paused_is_not_resumed(browser: Client):
    run = make_run(state="RUNNING")

    page = give(browser, FlowRun, "resume", run).content.decode()

    assert "Nothing to do: Resume" in page
    assert "Cannot resume a run that is not paused." in page
    assert 'name="confirmed"' not in page


def test_a_run_that_waits_for_input_is_resumed_on_its_page(browser: Client):
    run = make_flow_run(make_state("PAUSED", run_input_keyset={"schema": "s", "response": "r"}))

    page = give(browser, FlowRun, "resume", run).content.decode()

    assert "it waits for input; answer it on its page" in page
    assert f'href="/runs/{run.pk}"' in page


def test_a_forced_state_needs_a_reason_and_keeps_it(browser: Client):
    run = make_run(state="RUNNING")

    asked = give(browser, FlowRun, "force", run)
    without = confirm(browser, FlowRun, "force", run, state="CRASHED", reason=" ")
    tried = give(browser, FlowRun, "force", run, dry="yes", state="CRASHED", reason="The host burnt down")
    before = state_of(run)
    confirm(browser, FlowRun, "force", run, state="CRASHED", reason="The host burnt down")

    assert 'name="reason"' in asked.content.decode()
    assert "This field is required." in without.content.decode()
    assert "A dry run found nothing that would be refused." in tried.content.decode()
    assert (before, state_of(run)) == ("RUNNING", "CRASHED")
    last = FlowRunState.objects.latest("seq")
    assert (last.message, last.author) == ("The host burnt down", "local owner")
    assert LogEntry.objects.get().get_change_message() == "Force a state on: The host burnt down."


@pytest.mark.parametrize("state", ["RUNNING", "NOPE", HOSTILE, ""])
def test_no_other_state_can_be_forced(browser: Client, state: str):
    run = make_run(state="PENDING")

    answer = confirm(browser, FlowRun, "force", run, state=state, reason="x")

    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()
    assert state_of(run) == "PENDING"


def test_a_task_run_is_forced_out_of_its_slot(browser: Client):
    task = make_task_run(state="RUNNING", tags=["gpu"])
    limit = ConcurrencyLimit.objects.create(tag="gpu", concurrency_limit=1)
    Slot.objects.create(limit=limit, task_run=task, taken_at=NOON)

    confirm(browser, TaskRun, "force", task, state="FAILED", reason="stuck")

    assert state_of(task) == StateType.FAILED
    assert not Slot.objects.exists()


def test_runs_are_deleted_with_what_is_below_them(browser: Client):
    task = make_task_run()

    page = give(browser, FlowRun, "delete", task.flow_run).content.decode()
    confirm(browser, FlowRun, "delete", task.flow_run)

    assert "This cannot be undone." in page
    assert (FlowRun.objects.count(), TaskRun.objects.count()) == (0, 0)
    assert LogEntry.objects.get().is_deletion()


def test_hints_need_a_broker(browser: Client):
    page = give(browser, FlowRun, "hint", make_run(state="SCHEDULED")).content.decode()

    assert "this server has no broker: agents ask for runs by themselves" in page


def test_a_deployment_is_paused_resumed_and_run(browser: Client, deployment: Deployment):
    browser.get("/admin/")
    planned = FlowRun.objects.count()

    give(browser, Deployment, "pause", deployment)
    kept = FlowRun.objects.count()
    confirm(browser, Deployment, "pause", deployment)
    paused, is_active = FlowRun.objects.count(), Schedule.objects.get().active
    again = give(browser, Deployment, "pause", deployment).content.decode()
    confirm(browser, Deployment, "resume", deployment)
    confirm(browser, Deployment, "run", deployment)

    deployment.refresh_from_db()
    assert planned == kept > 0 == paused
    # As with the button on its page, the only schedule follows.
    assert (is_active, Schedule.objects.get().active) == (False, True)
    assert "it is paused already" in again
    assert not deployment.paused
    assert FlowRun.objects.filter(auto_scheduled=False).count() == 1


def test_queues_and_pools_are_paused(browser: Client, deployment: Deployment):
    queue, pool = WorkQueue.objects.get(name="default"), WorkPool.objects.get()

    confirm(browser, WorkQueue, "pause", queue)
    confirm(browser, WorkPool, "pause", pool)

    queue.refresh_from_db()
    pool.refresh_from_db()
    assert (queue.is_paused, pool.is_paused) == (True, True)


def test_the_attempt_of_a_lost_agent_is_ended_with_a_reason(browser: Client, deployment: Deployment):
    run = make_run(state="RUNNING", deployment_id=deployment.pk)
    lease = Lease.objects.create(flow_run=run, epoch=0, expires_at=NOON)

    without = confirm(browser, Lease, "end", lease)
    confirm(browser, Lease, "end", lease, reason="the rack is gone")

    assert without.status_code == 200
    assert state_of(run) == "CRASHED"
    assert not Lease.objects.exists()
    assert "the rack is gone" in str(FlowRunState.objects.latest("seq").message)


def test_slots_are_released_one_by_one_and_all_at_once(browser: Client):
    limit = ConcurrencyLimit.objects.create(tag="gpu", concurrency_limit=3)
    slots = [Slot.objects.create(limit=limit, task_run=make_task_run(), taken_at=NOON) for _ in range(3)]

    confirm(browser, Slot, "release", slots[0])
    left = Slot.objects.count()
    confirm(browser, ConcurrencyLimit, "reset", limit)

    assert (left, Slot.objects.count()) == (2, 0)


def test_global_slots_are_released(browser: Client):
    limit = GlobalLimit.objects.create(name="db", limit=2, active_slots=1)
    held = GlobalSlot.objects.create(limit=limit, flow_run=make_run(state="RUNNING"), expires_at=NOON)

    confirm(browser, GlobalSlot, "release", held)
    confirm(browser, GlobalLimit, "reset", limit)

    limit.refresh_from_db()
    assert (GlobalSlot.objects.count(), limit.active_slots) == (0, 0)


def test_a_worker_is_forgotten(browser: Client, deployment: Deployment):
    worker = Worker.objects.create(name="w1", work_pool=WorkPool.objects.get())

    confirm(browser, Worker, "forget", worker)

    assert not Worker.objects.exists()


def test_automations_are_switched(browser: Client):
    rule = Automation.objects.create(name="x", trigger={"type": "event"}, enabled=True)

    confirm(browser, Automation, "off", rule)

    rule.refresh_from_db()
    assert not rule.enabled


def test_the_page_of_a_row_has_its_commands(browser: Client):
    run = make_run(state="RUNNING")

    page = browser.get(address(FlowRun, f"{run.pk}/change/")).content.decode()

    assert "Cancel…" in page
    assert f'value="{run.pk}"' in page


def test_the_list_is_shown_again_as_it_was(browser: Client):
    run = make_run(state="RUNNING")
    seen = address(FlowRun) + "?state_type__exact=RUNNING"

    page = browser.post(seen, {"action": "cancel", "_selected_action": [str(run.pk)], "index": "0"})
    answer = confirm(browser, FlowRun, "cancel", run, back=page.context["back"])
    elsewhere = confirm(browser, FlowRun, "cancel", run, back="//evil.example/admin/runs/flowrun/")

    assert answer["location"] == seen
    assert elsewhere["location"] == address(FlowRun)


def test_a_very_long_choice_is_cut_with_a_note(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "SCOPE", 2)
    for number in range(4):
        make_run(f"run-{number}", state="RUNNING")

    page = browser.post(
        address(FlowRun), {"action": "cancel", "_selected_action": ["x"], "select_across": "1", "index": "0"}
    ).content.decode()

    assert "<h1>Cancel 2 flow runs?</h1>" in page
    assert "These are the first 2 of what you chose." in page


@pytest.mark.parametrize("row", ["nope", HOSTILE, "1' OR '1'='1", "01890a5d-ac96-774b-bcce-b302099a8057"])
@pytest.mark.parametrize("name", ["cancel", "force", "nope", HOSTILE])
def test_what_is_not_there_changes_nothing(browser: Client, name: str, row: str):
    run = make_run(state="RUNNING")

    answer = browser.post(
        address(FlowRun), {"action": name, "_selected_action": [row], "confirmed": "yes"}, follow=True
    )

    assert answer.status_code == 200
    assert HOSTILE not in answer.content.decode()
    assert state_of(run) == "RUNNING"


def test_names_of_others_are_text_in_a_question(browser: Client):
    run = make_run(HOSTILE, state="RUNNING")

    page = give(browser, FlowRun, "cancel", run).content.decode()

    assert HOSTILE not in page


def test_a_command_that_is_not_allowed_is_not_offered(browser: Client, monkeypatch: pytest.MonkeyPatch):
    run = make_run(state="RUNNING")
    reader = Actor("reader", LOCAL_OWNER.actions - {Action.CHANGE_RUNS})
    monkeypatch.setattr("orion_site.operators.commands.actor_of", lambda request: reader)

    page = browser.get(address(FlowRun, f"{run.pk}/change/")).content.decode()
    confirm(browser, FlowRun, "cancel", run)

    assert "Cancel…" not in page
    assert state_of(run) == "RUNNING"


def test_a_command_from_another_site_is_refused(db: None):
    run = make_run(state="RUNNING")
    strict = Client(headers={"host": "127.0.0.1:4200"}, enforce_csrf_checks=True)

    answer = confirm(strict, FlowRun, "cancel", run)

    assert answer.status_code == 403
    assert state_of(run) == "RUNNING"
