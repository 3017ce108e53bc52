"""The first page: what needs attention, how work flows, how each flow does, and what comes next."""

from __future__ import annotations

import gzip
import html
import re
import shutil
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.errors import BackfillExists
from deployments.models import (
    BlockDocument,
    BlockSchema,
    BlockType,
    Calendar,
    Deadline,
    Deployment,
    Lease,
    Schedule,
    ServiceRecord,
    Worker,
    WorkPool,
    WorkQueue,
)
from deployments.upkeep import current_settings
from events.models import ActionRun, Automation, Notification
from runs.models import FlowRun
from runs.pages.selectors.keyset import Count
from tests.travelling import travelled
from tests.web.conftest import HOSTILE
from tests.web.deployments import HOURLY, make_deployment
from tests.web.rows import make_flow, make_run, make_task_run
from tests.web.test_automations_page import EVENT

pytestmark = pytest.mark.undivided

WHOLE_WEEK = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//orion//test//EN
BEGIN:VEVENT
UID:quiet
DTSTART;VALUE=DATE:20200101
DTEND;VALUE=DATE:20200102
RRULE:FREQ=DAILY
END:VEVENT
END:VCALENDAR
"""


def ago(**period: float) -> datetime:
    return timezone.now() - timedelta(**period)


def needs(browser: Client, query: str = "") -> list[Any]:
    return list(browser.get(f"/{query}").context["needs"].lines)


def listed(browser: Client, address: str) -> set[str]:
    return {run.name for run in browser.get(address).context["found"].page.rows}


def failed(name: str, message: str = "The flow raised KeyError: 'customer_id'", **columns: Any) -> FlowRun:
    return make_run(name, state="FAILED", message=message, at=columns.pop("at", ago(minutes=5)), **columns)


def waiting(name: str, *, minutes: float = 5, **columns: Any) -> FlowRun:
    due = ago(minutes=minutes)
    return make_run(name, state="SCHEDULED", state_name="Late", at=due, next_scheduled_start_time=due, **columns)


def make_queue(name: str = "gpu", **columns: Any) -> WorkQueue:
    pool, _ = WorkPool.objects.get_or_create(name=WorkPool.DEFAULT_NAME)
    return WorkQueue.objects.create(name=name, work_pool=pool, **columns)


def make_worker(queue: WorkQueue, **columns: Any) -> Worker:
    assert queue.work_pool is not None
    usual = {"name": "w1", "offline_at": timezone.now() + timedelta(minutes=1), "concurrency": 4}
    return Worker.objects.create(work_pool=queue.work_pool, queue_ids=[str(queue.pk)], **{**usual, **columns})


def test_without_runs_the_page_gives_three_lines_with_this_servers_address(browser: Client):
    page = browser.get("/").content.decode()

    assert "export ORION_API_URL=http://127.0.0.1:4200/api" in page
    assert "python hello.py" in page


def test_failures_with_one_cause_are_one_line_that_leads_to_exactly_its_runs(browser: Client):
    for number in range(3):
        failed(f"etl-{number}", f"The flow raised KeyError: 'row {number} of 0x{number}ff'")
    failed("other", "The flow raised ValueError: no")
    make_task_run("load-0", flow_run=failed("newest", "The flow raised KeyError: 'row 9 of 0x9ff'"), state="FAILED")

    first, second = needs(browser)

    assert first.cause.startswith("KeyError: 'row ")
    assert first.extent == "4 runs · etl"
    assert first.detail == "in load-0"
    assert listed(browser, first.address) == {"etl-0", "etl-1", "etl-2", "newest"}
    assert listed(browser, second.address) == {"other"}


def test_a_subflow_is_its_parents_failure_and_the_task_in_it_is_named(browser: Client):
    error = "The flow raised KeyError: 'customer_id'"
    parent = failed("etl-1", error)
    for level in range(2):
        stands_for = make_task_run(f"subflow-{level}", flow_run=parent, state="FAILED")
        parent = failed(f"inner-{level}", error, flow=make_flow("load"), parent_task_run=stands_for)
    make_task_run("load-rows-2", flow_run=parent, state="FAILED")

    (need,) = needs(browser)

    assert need.extent == "1 run · etl"
    assert need.detail == "in load-rows-2"
    assert listed(browser, need.address) == {"etl-1"}


def test_a_failed_subflow_of_a_continuing_parent_is_a_failure_of_its_own(browser: Client):
    stands_for = make_task_run("subflow", flow_run=make_run("etl-1"), state="FAILED")
    failed("inner", flow=make_flow("load"), parent_task_run=stands_for)

    assert [need.extent for need in needs(browser)] == ["1 run · load"]


def test_failures_before_the_range_are_not_listed(browser: Client):
    failed("old", at=ago(hours=30))

    assert needs(browser) == []
    assert [need.extent for need in needs(browser, "?since=-7d")] == ["1 run · etl"]


def test_tags_filter_the_whole_page(browser: Client):
    failed("prod", tags=["prod"])
    failed("test", tags=["test"], flow=make_flow("tried"))

    answer = browser.get("/?tag=prod")

    (need,) = answer.context["needs"].lines
    assert listed(browser, need.address) == {"prod"}
    assert [row.line.flow.name for row in answer.context["rows"]] == ["etl"]


def test_several_tags_filter_the_page_and_the_lists_that_it_leads_to(browser: Client):
    every = ["a,b", "eu", "prod", "night", "big"]
    for number, tags in enumerate((every, every[:4])):
        failed(f"failed-{number}", tags=tags)
        make_run(f"running-{number}", state="RUNNING", tags=tags)
        waiting(f"waits-{number}", tags=tags)
        make_deployment(f"made-{number}", tags=tags)
    query = urlencode({"since": "-24h", "tag": every}, doseq=True)

    answer = browser.get(f"/?{query}&tag=")

    page, context = answer.content.decode(), answer.context
    assert [one.extent for one in context["needs"].lines if "etl" in one.extent] == ["1 run · etl"]
    assert listed(browser, context["needs"].lines[0].address) == {"failed-0"}
    assert (context["rates"].running.number, context["rates"].waiting.number) == (1, 1)
    assert [line.deployment.name for line in context["deployments"]] == ["made-0"]
    links = {html.unescape(one) for one in re.findall(r'href="(/(?:runs|deployments)\?[^"]*tag=[^"]*)"', page)}
    states = {one: listed(browser, one) for one in links if one.startswith("/runs?state=running")}
    assert list(states.values()) == [{"running-0"}]
    (deployments,) = (browser.get(one) for one in links if one.startswith("/deployments"))
    assert [line.deployment.name for line in deployments.context["found"].lines] == ["made-0"]
    # Each tag can be removed, and others added, on each of the pages.
    fewer = urlencode({"since": "-24h", "tag": every[:4]}, doseq=True)
    assert [one.without for one in context["chips"]][-1] == f"?{fewer}"
    for shown in (page, deployments.content.decode(), browser.get(f"/task-runs?{query}").content.decode()):
        assert re.findall(r'<input type="hidden" name="tag" value="([^"]*)">', shown) == every
    assert listed(browser, "/runs?tag=eu&q=tag:prod+state:failed") == {"failed-0", "failed-1"}


def test_unserved_runs_are_listed_with_the_command_that_starts_an_agent(browser: Client):
    queue = make_queue()
    for number in range(3):
        waiting(f"late-{number}", work_queue_id=queue.pk)
    waiting("elsewhere", work_queue_id=make_queue("served", last_polled=timezone.now()).pk)

    first, second = needs(browser)

    assert first.cause == "Nobody serves work queue 'gpu'"
    assert first.extent == "3 runs wait"
    assert first.command == "orion agent start -q gpu"
    assert listed(browser, first.address) == {"late-0", "late-1", "late-2"}
    assert second.extent == "1 run waits"
    assert listed(browser, second.address) == {"elsewhere"}


@pytest.mark.parametrize(
    ("columns", "cause"),
    [
        ({"is_paused": True}, "Work queue 'gpu' is paused"),
        ({"concurrency_limit": 1}, "Work queue 'gpu' is full"),
    ],
)
def test_a_queue_that_is_served_and_holds_its_runs_back_is_named(browser: Client, columns: dict[str, Any], cause: str):
    queue = make_queue(**columns)
    make_worker(queue)
    make_run("holder", state="RUNNING", at=ago(minutes=1), work_queue_id=queue.pk)
    waiting("late", work_queue_id=queue.pk)

    (need,) = needs(browser)

    assert need.cause == cause


def test_runs_without_a_queue_are_found_again_by_their_deployment(browser: Client):
    deployment = Deployment.objects.create(name="served", flow=make_flow())
    waiting("late", deployment_id=deployment.pk)
    waiting("of-nobody", flow=make_flow("script"))

    lines = needs(browser)

    assert [listed(browser, need.address) for need in lines] == [{"late"}, {"of-nobody"}]


def test_runs_due_a_moment_ago_are_not_listed(browser: Client):
    waiting("just-due", minutes=0.1)

    assert needs(browser) == []


def test_what_is_stuck_or_paused_is_a_line(browser: Client):
    worker = make_worker(make_queue())
    silent = make_run("silent", state="RUNNING", at=ago(hours=1))
    Lease.objects.create(flow_run=silent, worker=worker, epoch=1, expires_at=ago(minutes=1))
    make_run("stopping", state="CANCELLING", at=ago(hours=1))
    asking = make_run("asking", state="PAUSED", at=ago(minutes=1))

    lines = needs(browser)

    assert (lines[-1].action, lines[-1].action_address) == ("Resume it…", f"/runs/{asking.pk}#answer")
    assert [need.cause for need in lines] == [
        "The agent has gone silent",
        "Asked to stop, and has not stopped",
        "Waits until it is resumed",
    ]


def test_a_line_about_stuck_runs_leads_to_these_and_not_to_others_in_their_state(browser: Client):
    worker = make_worker(make_queue())
    for name, minutes in (("silent", 1), ("well", -1)):
        run = make_run(name, state="RUNNING", at=ago(hours=1))
        Lease.objects.create(flow_run=run, worker=worker, epoch=1, expires_at=ago(minutes=minutes))
    for name, minutes in (("stopping", 30), ("just-asked", 1)):
        make_run(name, state="CANCELLING", at=ago(minutes=minutes))
    for name, minutes in (("starting", 30), ("just-claimed", 1)):
        make_run(name, state="PENDING", at=ago(minutes=minutes))

    lines = needs(browser)

    assert [(need.extent, listed(browser, need.address)) for need in lines] == [
        ("1 run", {"silent"}),
        ("1 run", {"stopping"}),
        ("1 run", {"starting"}),
    ]


def test_very_many_stuck_runs_lead_to_their_state(browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orion_site.home.stuck.MOST_NAMED", 2)
    for number in range(3):
        make_run(f"asking-{number}", state="PAUSED", at=ago(minutes=1), tags=["prod"])

    (need,) = needs(browser, "?tag=prod")

    assert (need.extent, need.address) == ("3 runs", "/runs?state=paused&tag=prod")


def test_deadlines_that_were_missed_or_come_soon_are_lines(browser: Client):
    make_deadline("missed", -9)
    make_deadline("near", 2)

    causes = [need.cause for need in needs(browser)]

    assert causes == ["Missed its deadline to finish", "May miss its deadline to finish"]
    assert needs(browser, "?tag=prod") == []


def make_deadline(name: str, minutes: float, kind: str = "finish", **columns: Any) -> None:
    due = timezone.now() + timedelta(minutes=minutes)
    run = make_run(name, **{"state": "RUNNING", "at": ago(hours=1), **columns})
    Deadline.objects.create(flow_run=run, kind=kind, due=due, missed_at=due if minutes < 0 else None)


def test_a_deadline_is_at_risk_where_the_usual_duration_does_not_fit(browser: Client):
    slow = {"deployment_id": make_deployment("slow").pk, "total_run_time": timedelta()}
    for hours in (20, 30, 40):
        make_run(at=ago(hours=hours), **{**slow, "total_run_time": timedelta(hours=2)})
    in_three_hours = {"state": "SCHEDULED", "at": ago(hours=-3), "next_scheduled_start_time": ago(hours=-3)}
    make_deadline("runs-too-long", 50, **slow)
    make_deadline("runs-in-time", 70, **slow)
    make_deadline("starts-too-late", 4 * 60, **{**slow, **in_three_hours})
    make_deadline("starts-in-time", 6 * 60, **{**slow, **in_three_hours})
    make_deadline("has-ended", 5, state="COMPLETED")
    make_deadline("is-overdue", 5, **{**slow, "at": ago(hours=3)})
    make_deadline("starts-soon", 5, kind="start", **{**slow, **in_three_hours, "at": ago(minutes=-3)})
    due = {"state": "SCHEDULED", "next_scheduled_start_time": ago(minutes=0.1)}
    make_deadline("does-not-start", 5, kind="start", **{**slow, **due})

    to_start, to_finish = needs(browser)

    assert to_start.cause == "May miss its deadline to start"
    assert browser.get(to_start.address).context["run"].name == "does-not-start"
    assert listed(browser, to_finish.address) == {"runs-too-long", "starts-too-late", "is-overdue"}
    assert to_finish.extent == "3 runs · etl"
    assert to_finish.fix.startswith("usually takes 2h")


def test_a_running_run_says_how_long_it_usually_takes_and_can_be_cancelled(
    browser: Client, django_assert_max_num_queries: Any
):
    with travelled(timezone.now()):
        one = make_deployment("slow")
        for hours in (20, 30, 40):
            make_run(at=ago(hours=hours), deployment_id=one.pk, total_run_time=timedelta(minutes=13))
        running = {"state": "RUNNING", "deployment_id": one.pk, "total_run_time": timedelta()}
        early, longer = (make_run(at=ago(minutes=minutes), **running) for minutes in (5, 18))
        first = make_run("first", state="RUNNING", at=ago(minutes=30), flow=make_flow("script"))

        with django_assert_max_num_queries(12):
            answer = browser.get("/")
        pages = [" ".join(browser.get(f"/runs/{run.pk}").content.decode().split()) for run in (early, longer, first)]
        done = browser.post(f"/runs/{early.pk}/cancel", follow=True).content.decode()

    page = " ".join(answer.content.decode().split())
    shown = {run.id: elapsed for run, elapsed in answer.context["running"]}
    assert [shown[run.pk].percent for run in (longer, early)] == [72, 38]
    assert (shown[longer.pk].beyond, shown[first.pk].usual) == (28, None)
    assert page.count("(usually 13m)") == 2
    assert page.count(f'action="/runs/{early.pk}/cancel"') == 1
    assert re.search("usually 13m *: about 8m", pages[0])
    assert re.search("usually 13m *: <strong>4m 58s", pages[1])
    assert "its usual duration is not known" in pages[2]
    assert "is being cancelled" in done


def test_a_service_that_fails_is_a_line(browser: Client):
    make_run()
    moment = ago(seconds=3)
    ServiceRecord.objects.create(
        name="planning", every_seconds=5, last_tick=moment, last_error="boom", last_error_at=moment
    )

    (need,) = needs(browser)

    assert (need.cause, need.extent, need.address) == ("Service 'planning' fails", "boom", "/status")


def make_automation(name: str = "page us", **columns: Any) -> Automation:
    return Automation.objects.create(name=name, trigger=EVENT, since=ago(days=9), **columns)


def make_action(automation: Automation, minutes: float, error: str = "") -> ActionRun:
    at = ago(minutes=minutes)
    action = {"type": "run-deployment"}
    return ActionRun.objects.create(
        id=uuid4(), automation=automation, created=at, done_at=at, action=action, error=error
    )


def make_block(name: str) -> BlockDocument:
    kind = BlockType.objects.create(name=name, slug=name)
    schema = BlockSchema.objects.create(block_type=kind, checksum=name, capabilities=["notify"])
    return BlockDocument.objects.create(name=name, block_type=kind, block_schema=schema)


def make_message(block: BlockDocument, minutes: float, standing: str = "GIVEN_UP") -> Notification:
    columns = {"subject": "Failed", "body": "", "last_error": "It answered 500.", "due_at": ago(minutes=minutes)}
    return Notification.objects.create(
        id=uuid4(), block_document=block, created=ago(minutes=minutes), standing=standing, **columns
    )


def test_an_automation_with_failing_actions_is_listed_with_a_link(browser: Client):
    make_run()
    broken, works, off = make_automation("broken"), make_automation("works"), make_automation("off", enabled=False)
    make_action(broken, 90)
    for minutes in (50, 40):
        make_action(broken, minutes, "The deployment is not there.")
    make_action(broken, 60 * 30, "Before the range.")
    make_action(works, 50, "It failed once.")
    make_action(works, 40)
    make_action(off, 40, "It is off.")

    (need,) = needs(browser)

    assert (need.cause, need.extent) == ("Automation 'broken' fails", "2 actions")
    assert need.fix == "The deployment is not there."
    assert need.action_address == f"/automations/{broken.pk}"
    shown = browser.get(need.address).context["found"].firings.rows
    assert [one.error for one in shown] == ["The deployment is not there."] * 2


def test_an_automation_that_was_changed_is_looked_at_afresh(browser: Client):
    make_run()
    automation = make_automation()
    make_action(automation, 40, "The deployment is not there.")
    Automation.objects.update(since=ago(minutes=1))

    assert needs(browser) == []


def test_messages_that_were_given_up_are_a_line_until_one_is_delivered(browser: Client):
    make_run()
    broken, mended = make_block("slack"), make_block("mail")
    for block in (broken, mended):
        make_message(block, 30)
    make_message(broken, 20, "WAITING")
    make_message(mended, 10, "SENT")

    (need,) = needs(browser)

    assert (need.cause, need.extent) == ("Messages through 'slack' are not delivered", "1 message")
    assert need.action_address == f"/blocks/{broken.pk}"
    shown = browser.get(need.address).context["found"].messages
    assert [one.notification.block_document_id for one in shown] == [broken.pk]


def test_a_disk_that_is_nearly_full_is_a_line(browser: Client, monkeypatch: pytest.MonkeyPatch):
    make_run()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=100 * 2**30, used=0, free=2**29))

    (need,) = needs(browser)

    assert (need.cause, need.extent.replace("\xa0", " ")) == ("The disk is nearly full", "512.0 MB free of 100.0 GB")
    assert "nearly full" in browser.get(need.address).content.decode()


def test_seven_lines_are_shown_and_errors_do_not_push_the_others_off(browser: Client):
    for number in range(9):
        failed(f"run-{number}", f"The flow raised Error{chr(65 + number)}: no", flow=make_flow(f"flow-{number}"))
    waiting("late", work_queue_id=make_queue().pk)

    found = browser.get("/").context["needs"]

    assert (len(found.lines), found.total, found.hidden) == (7, 10, 3)
    assert found.lines[-1].cause == "Nobody serves work queue 'gpu'"


def test_each_kind_of_line_that_is_not_shown_leads_to_its_runs(browser: Client):
    for number in range(4):
        failed(f"run-{number}", f"The flow raised Error{chr(65 + number)}: no", flow=make_flow(f"flow-{number}"))
    for number in range(6):
        waiting(f"late-{number}", work_queue_id=make_queue(f"queue-{number}").pk)
    make_deadline("missed", -9)
    make_run("asking", state="PAUSED", at=ago(minutes=1))

    answer = browser.get("/")

    page = " ".join(answer.content.decode().split())
    cut = answer.context["needs"].cut
    assert '1 more cause of failures: <a href="/runs?state=failed%2Ccrashed&amp;since=-24h">all failed runs</a>' in page
    found = {one.cause: (one.words, listed(browser, one.address)) for one in cut[1:]}
    assert found["Waits until it is resumed"] == ("1 run", {"asking"})
    words, names = found["Runs wait, for 3 more reasons"]
    assert (words, len(names)) == ("3 runs", 3)
    assert answer.context["needs"].hidden == 1 + 3 + 1


def test_a_page_that_needs_no_action_links_the_completed_runs(browser: Client):
    failed("old", at=ago(days=3))
    for number in range(4):
        make_run(f"good-{number}", at=ago(hours=number + 1))
    make_run("before", at=ago(days=4))

    answer = browser.get("/")

    proof = answer.context["needs"].proof
    assert "Nothing needs you." in answer.content.decode()
    assert "since the last failure" in answer.content.decode()
    assert proof.completed.number == 4
    assert listed(browser, proof.address) == {"good-0", "good-1", "good-2", "good-3"}


@pytest.mark.parametrize("name", ["👩\u200d🚀 etl", "می\u200cخواهم", "a\\b"])
def test_names_in_sentences_read_as_they_are(browser: Client, name: str):
    served = make_deployment("x", flow="etl")
    Deployment.objects.filter(pk=served.pk).update(name=name, work_queue=None)
    due = ago(hours=1)
    make_run("waits", state="SCHEDULED", at=due, next_scheduled_start_time=due, deployment_id=served.pk)

    page = browser.get("/").content.decode()

    assert f"No process serves &#x27;{name}&#x27;" in page
    assert name in str(BackfillExists(name=name))


def test_the_strip_shows_rates_of_running_and_waiting_runs(browser: Client):
    queue = make_queue()
    worker = make_worker(queue)
    for number in range(5):
        make_run(f"ended-{number}", at=ago(minutes=2))
    running = make_run("running", state="RUNNING", at=ago(minutes=1))
    Lease.objects.create(flow_run=running, worker=worker, epoch=1, expires_at=timezone.now() + timedelta(minutes=1))
    gone = make_worker(queue, name="gone", offline_at=ago(minutes=50))
    left = make_run("left", state="RUNNING", at=ago(minutes=1))
    Lease.objects.create(flow_run=left, worker=gone, epoch=1, expires_at=ago(minutes=50))
    waiting("late", work_queue_id=make_queue("other").pk)

    rates = browser.get("/").context["rates"]

    assert (rates.per_minute, rates.running.number, rates.waiting.number) == (0.5, 2, 1)
    assert rates.waiting_by_reason == [("no agent", Count(1))]
    assert (rates.agents, rates.slots, rates.taken.number) == (1, 4, 1)


def test_planned_runs_never_push_what_failed_off_the_page(browser: Client):
    for number in range(100):
        due = timezone.now() + timedelta(minutes=number + 1)
        make_run(f"later-{number}", state="SCHEDULED", at=due, next_scheduled_start_time=due)
    failed("bad")

    answer = browser.get("/")

    page = answer.content.decode()
    (row,) = answer.context["rows"]
    assert [run.name for run in row.line.runs] == ["bad"]
    assert row.line.next_run.name == "later-0"
    assert page.index("Needs you") < page.index("KeyError") < page.index("Next 24 hours")


def test_the_next_day_is_a_track_for_each_deployment_with_what_its_schedule_names(browser: Client):
    # Its next run is half an hour away, whenever this is asked.
    half_past = {"anchor_date": (timezone.now() + timedelta(minutes=30)).isoformat()}
    make_deployment("hourly", schedules=[{**HOURLY, **half_past}])
    make_deployment("seconds", schedules=[{**HOURLY, "interval": 10}])
    make_deployment("paused", schedules=[HOURLY], paused=True)
    due = timezone.now() + timedelta(hours=23)
    make_run("once", flow=make_flow("script"), state="SCHEDULED", at=due, next_scheduled_start_time=due)

    answer = browser.get("/")

    counts = {
        row.first.deployment_name or row.first.flow.name: row.planned_count for row, _ in answer.context["ahead"].tracks
    }
    assert {name: (count.number, count.capped) for name, count in counts.items()} == {
        "hourly": (24, False), "seconds": (counts["seconds"].number, True), "script": (1, False)
    }  # fmt: skip
    assert list(counts) == ["seconds", "hourly", "script"]


def test_the_number_of_planned_runs_leads_to_so_many_times(browser: Client):
    make_deployment("hourly", schedules=[HOURLY, {**HOURLY, "interval": 7200}])
    for flow, hours in (("script & co", 3), ("script & co", 4), ("other", 5)):
        due = timezone.now() + timedelta(hours=hours)
        run = {"flow": make_flow(flow), "at": due, "next_scheduled_start_time": due}
        make_run(f"once-{hours}", state="SCHEDULED", **run)
    page = browser.get("/")

    found = {}
    for address, number in re.findall(r'<a href="([^"]+)">(\d+)</a>', page.content.decode().partition('id="next"')[2]):
        context = browser.get(html.unescape(address)).context
        found[int(number)] = len(context["ahead"].times if "ahead" in context else context["found"].page.rows)

    assert found == {24: 24, 2: 2, 1: 1}


def test_tracks_omit_times_of_calendars_and_count_the_deployments_that_are_not_drawn(
    browser: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
):
    monkeypatch.setattr("orion_site.home.pages.NEXT_SHOWN", 1)
    quiet = Calendar.objects.create(name="quiet", ics=WHOLE_WEEK)
    for name in ("holidays", "other"):
        make_deployment(name, schedules=[HOURLY])
        Schedule.objects.get(deployment__name=name).calendars.add(quiet)
    Schedule.objects.update(planned_until=timezone.now() + timedelta(hours=3))
    current_settings.forget()

    with django_assert_max_num_queries(12):
        found = browser.get("/").context["ahead"]

    ((row, _),) = found.tracks
    assert row.planned_count.number == FlowRun.objects.filter(deployment_id=row.first.deployment_id).count()
    assert found.others.number == 1


def test_a_calendar_that_cannot_be_read_leaves_out_the_times_of_its_schedules_alone(browser: Client):
    for name in ("holidays", "other"):
        make_deployment(name, schedules=[HOURLY])
    Schedule.objects.get(deployment__name="holidays").calendars.add(
        Calendar.objects.create(name="broken", ics="BEGIN:")
    )
    Schedule.objects.update(planned_until=timezone.now() + timedelta(hours=3))

    found = {row.first.deployment_id: row.planned_count.number for row, _ in browser.get("/").context["ahead"].tracks}

    planned = {one.pk: FlowRun.objects.filter(deployment_id=one.pk).count() for one in Deployment.objects.all()}
    holidays, other = Deployment.objects.get(name="holidays").pk, Deployment.objects.get(name="other").pk
    assert found[holidays] == planned[holidays]
    assert found[other] > planned[other]


def test_deployments_have_their_rows_and_flows_without_one_have_theirs(browser: Client):
    deployment = Deployment.objects.create(name="prod", flow=make_flow(), tags=["prod"])
    for number in range(3):
        make_run(f"run-{number}", state="FAILED", at=ago(minutes=60 - number), deployment_id=deployment.pk)
    due = timezone.now() + timedelta(hours=90)
    make_run("next", state="SCHEDULED", at=due, next_scheduled_start_time=due, deployment_id=deployment.pk)
    make_run(flow=make_flow("script"), at=ago(minutes=3))

    answer = browser.get("/")
    other = browser.get("/?tag=test")

    (line,) = answer.context["deployments"]
    assert [run.name for run in line.last_runs] == ["run-0", "run-1", "run-2"]
    assert (line.health, line.next_run.next_scheduled_start_time) == ("failing", due)
    assert [row.line.flow.name for row in answer.context["rows"]] == ["script"]
    assert other.context["deployments"] == []


def test_flows_stand_in_the_order_of_their_trouble(browser: Client):
    for name, states in {"good": "CC", "mended": "FC", "broken": "CF"}.items():
        for number, state in enumerate(states):
            kind = {"C": "COMPLETED", "F": "FAILED"}[state]
            make_run(f"{name}-{number}", flow=make_flow(name), state=kind, at=ago(minutes=30 - number))

    rows = browser.get("/").context["rows"]

    assert [row.line.flow.name for row in rows] == ["broken", "mended", "good"]


def test_a_slower_flow_shows_by_how_much(browser: Client):
    for number in range(16):
        seconds = 10 if number < 8 else 14
        make_run(f"run-{number}", at=ago(minutes=60 - number), **{})
        FlowRun.objects.filter(name=f"run-{number}").update(total_run_time=timedelta(seconds=seconds))

    (row,) = browser.get("/").context["rows"]

    assert row.line.drift_percent == 40


def test_a_range_that_is_none_is_the_usual_one(browser: Client):
    assert browser.get("/?since=nonsense&tag=").context["since"] == "-24h"


def test_a_quiet_page_costs_twelve_queries_as_well(browser: Client, django_assert_max_num_queries: Any):
    failed("old", at=ago(days=3))
    make_run("good", at=ago(hours=1))
    waiting("just-due", minutes=0.1, work_queue_id=make_queue().pk)
    current_settings.forget()

    with django_assert_max_num_queries(12):
        answer = browser.get("/")

    assert answer.context["needs"].proof.completed.number == 1


def test_the_page_without_completed_runs_since_a_failure_only_shows_that_none_failed(browser: Client):
    failed("old", at=ago(days=3))

    assert "No run failed in the last day" in browser.get("/").content.decode()


def test_names_of_others_are_text_and_not_markup(browser: Client):
    failed(HOSTILE, HOSTILE, flow=make_flow(HOSTILE), tags=[HOSTILE])
    waiting(HOSTILE, work_queue_id=make_queue(HOSTILE).pk)

    assert HOSTILE not in browser.get("/").content.decode()


def test_an_overfull_page_costs_twelve_queries_and_is_light(browser: Client, django_assert_max_num_queries: Any):
    for number in range(40):
        flow = make_flow(f"flow-{number}")
        for place in range(3):
            failed(f"bad-{number}-{place}", f"The flow raised Error{uuid4()}", flow=flow)
        waiting(f"late-{number}", work_queue_id=make_queue(f"queue-{number}").pk, flow=flow)
        make_run(f"running-{number}", state="RUNNING", at=ago(minutes=1), flow=flow)
        deployment = Deployment.objects.create(name="prod", flow=make_flow(f"deployed-{number}"))
        failed(f"deployed-{number}", flow=deployment.flow, deployment_id=deployment.pk)
    parent = FlowRun.objects.get(name="bad-0-0")
    for level in range(3):
        stands_for = make_task_run(f"subflow-{level}", flow_run=parent, state="FAILED")
        parent = failed(f"inner-{level}", flow=make_flow(f"inner-{level}"), parent_task_run=stands_for)
    make_task_run("load", flow_run=parent, state="FAILED")
    make_action(make_automation(), 5, "It is not there.")
    make_message(make_block("slack"), 5)
    make_deadline("missed", -5)
    current_settings.forget()

    with django_assert_max_num_queries(12):
        page = browser.get("/").content

    assert len(gzip.compress(page)) <= 25_000
