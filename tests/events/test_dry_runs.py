"""Dry runs: what automations and policies would have done, without doing it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db.models import Min
from hypothesis import example, given
from hypothesis import strategies as st

from events.automations.services.automations import create_automation
from events.automations.services.dry_runs import dry_run_automation, dry_run_policy
from events.automations.services.evaluation import judge_events
from events.automations.services.trigger_states import GRACE, MOST_FIRINGS_A_MINUTE
from events.models import ActionRun, Automation, Event, Notification, NotificationPolicy, TriggerState
from events.recording import past
from orion_site.accounts.permissions import Action
from orion_site.accounts.roles import ACTIONS
from orionflow.contract.automations import AutomationCreate
from tests.events.automations import NOTHING, happen, trigger
from tests.events.rows import make_block
from tests.factories import NOON, later, make_flow, make_flow_run
from tests.rounds import examples

pytestmark = pytest.mark.django_db

NAMES = ["a", "b", "c"]


def columns_of(asked: dict[str, Any] | None = None, *actions: dict[str, Any]) -> dict[str, Any]:
    body = {"name": "mine", "trigger": asked or trigger(), "actions": list(actions) or [NOTHING]}
    return AutomationCreate.model_validate(body).model_dump(mode="json")


names = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
event_triggers = st.builds(
    trigger,
    posture=st.sampled_from(["Reactive", "Proactive"]),
    expect=names,
    after=names,
    for_each=st.sampled_from([[], ["prefect.resource.id"]]),
    threshold=st.integers(1, 3),
    within=st.sampled_from([10, 30]),
)
composites = st.builds(
    lambda kind, parts, within, require: {"type": kind, "triggers": parts, "within": within, "require": require},
    st.sampled_from(["compound", "sequence"]),
    st.lists(event_triggers, min_size=2, max_size=2),
    st.sampled_from([None, 20]),
    st.sampled_from(["any", "all"]),
)
occurrences = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from(NAMES), st.sampled_from(["x", "y"])), min_size=1, max_size=8
)


@examples(30)
@given(st.one_of(event_triggers, composites), occurrences)
@example(trigger(posture="Proactive", within=10, expect=["b"], after=["a"]), [(1, "a", "x"), (12, "b", "x")])
@example(trigger(within=10, threshold=2), [(0, "a", "x"), (10, "a", "y"), (3, "b", "x"), (11, "b", "x")])
@example(
    {
        "type": "compound",
        "triggers": [
            trigger(posture="Proactive", within=10, expect=[], threshold=2),
            trigger(posture="Proactive", within=10, expect=["b"]),
        ],
        "within": None,
        "require": "any",
    },
    # Both watches end at the same moment.
    [(1, "b", "x"), (0, "a", "x")],
)
def test_a_dry_run_fires_as_the_automation_did(asked: dict[str, Any], occurred: list[tuple[int, str, str]]):
    Automation.objects.all().delete()
    Event.objects.all().delete()
    columns = columns_of(asked)
    automation = create_automation(columns=columns, now=NOON)
    at = 0
    judge_events(NOON)
    for gap, name, resource in occurred:
        at += gap
        watch_until(later(at))
        happen(name, at=later(at), resource=resource)
        judge_events(later(at))
    watch_until(later(at + 40))
    fired = list(ActionRun.objects.filter(automation=automation).order_by("created", "id").values_list("event__id"))

    found = dry_run_automation(columns=columns, since=NOON, now=later(at + 40))

    would = [(str(one.event_data.id),) if one.event_data else (None,) for one in reversed(found.newest)]
    assert (found.fired, would) == (len(fired), fired[-len(would) :] if would else [])


# A watch that starts again by itself skips the periods that passed before it is judged; a dry run does not.
of_one_judging = event_triggers.filter(lambda asked: asked["posture"] == "Reactive" or asked["after"])


@examples(30)
@given(of_one_judging, occurrences)
@example(trigger(posture="Proactive", within=30, expect=["b"], after=["a"]), [(0, "a", "x"), (40, "b", "x")])
def test_a_dry_run_fires_as_the_automation_does_that_judges_all_events_together(
    asked: dict[str, Any], occurred: list[tuple[int, str, str]]
):
    Automation.objects.all().delete()
    Event.objects.all().delete()
    columns = columns_of(asked)
    automation = create_automation(columns=columns, now=NOON)
    at = 0
    for gap, name, resource in occurred:
        at += gap
        happen(name, at=later(at), resource=resource)
    judge_events(later(at + 40))
    fired = ActionRun.objects.filter(automation=automation).values_list("event__id", flat=True)

    found = dry_run_automation(columns=columns, since=NOON, now=later(at + 40))

    assert sorted(fired) == sorted(str(one.event_data.id) for one in found.newest if one.event_data)


def watch_until(now: datetime) -> None:
    """Let the service judge at each moment at which a watch is over."""
    while (end := TriggerState.objects.aggregate(end=Min("ends_at"))["end"]) and end + GRACE <= now:
        judge_events(end + GRACE)
    judge_events(now)


def test_new_states_of_runs_count_though_no_event_was_recorded():
    now = later()
    run = make_flow_run("FAILED", name="nightly", tags=["prod"], now=now)
    make_flow_run("FAILED", now=now)
    make_flow_run("COMPLETED", tags=["prod"], now=now)
    tagged = {"prefect.resource.id": "prefect.tag.prod"}
    columns = columns_of(trigger(expect=["prefect.flow-run.Failed"], match_related=tagged), {"type": "cancel-flow-run"})

    found = dry_run_automation(columns=columns, since=NOON, now=later(10))

    assert (found.fired, found.looked_at, Event.objects.count()) == (1, 2, 0)
    assert found.newest[0].actions[0].target == f"prefect.flow-run.{run.pk}"


def test_an_event_of_a_run_that_was_recorded_counts_once():
    create_automation(columns=columns_of(), now=NOON)
    make_flow_run("FAILED", now=later())

    found = dry_run_automation(columns=columns_of(trigger()), since=NOON, now=later(10))

    assert (found.fired, Event.objects.count()) == (1, 1)


def test_the_newest_firing_has_its_message_and_nothing_is_sent():
    block = make_block("slack-webhook", {"url": "http://127.0.0.1:1/T1"})
    message = {
        "type": "send-notification",
        "block_document_id": str(block),
        "subject": "{{ event.event }}",
        "body": "{{ event.payload.words }} {{ event.resource.room }}",
    }
    happen("shop.paid", at=later())
    happen("shop.paid", at=later(2), room="hall")
    Event.objects.update(payload={"words": "well done"})

    found = dry_run_automation(columns=columns_of(trigger(), message), since=NOON, now=later(10))

    newest, older = (one.actions[0].message for one in found.newest)
    assert newest is not None
    assert (newest.subject, newest.body, older) == ("shop.paid", "well done hall", None)
    assert not Notification.objects.exists()
    assert not ActionRun.objects.exists()
    assert not Automation.objects.exists()


def test_an_action_without_anything_to_act_on_says_so():
    happen(at=later())

    found = dry_run_automation(
        columns=columns_of(trigger(), {"type": "pause-deployment", "source": "inferred"}), since=NOON, now=later(10)
    )

    assert "could act on" in found.newest[0].actions[0].problem


def test_more_firings_than_are_allowed_would_be_held_back():
    now = later()
    Event.objects.bulk_create(
        Event(event="a", resource_id="x", resource={"prefect.resource.id": "x"}, occurred=now, received=now)
        for _ in range(MOST_FIRINGS_A_MINUTE + 7)
    )

    found = dry_run_automation(columns=columns_of(), since=NOON, now=later(10))

    assert (found.fired, found.held_back) == (MOST_FIRINGS_A_MINUTE, 7)


@pytest.mark.parametrize("expected", [["a"], ["a*"], []])
def test_a_dry_run_looks_at_the_newest_events_only_and_says_since_when(
    monkeypatch, django_assert_max_num_queries, expected: list[str]
):
    monkeypatch.setattr(past, "MOST_READ", 30)
    for second in range(40):
        happen("a", at=later(second))
        happen("b", at=later(second))

    with django_assert_max_num_queries(8):
        found = dry_run_automation(columns=columns_of(trigger(expect=expected)), since=NOON, now=later(100))

    assert found.is_cut
    assert 25 <= found.looked_at <= 30
    assert found.since > NOON


def test_a_policy_names_the_runs_and_the_text_of_the_newest_message():
    block = make_block("slack-webhook", {"url": "http://127.0.0.1:1/T1"})
    flow = make_flow("census")
    make_flow_run("FAILED", flow=flow, name="first", now=later())
    make_flow_run("CRASHED", flow=flow, name="second", now=later(2))
    make_flow_run("COMPLETED", flow=flow, now=later(3))
    make_flow_run("FAILED", now=later(4))
    asked = {"state_types": ["FAILED", "CRASHED"], "state_names": [], "tags": [], "flow_names": ["census"]}
    columns = {"block_document_id": str(block), "message_template": "{flow_run_name} is {flow_run_state_name}", **asked}

    found = dry_run_policy(columns=columns, since=NOON, now=later(10))

    assert [(run.name, state.name) for run, state in found.newest] == [("second", "Crashed"), ("first", "Failed")]
    assert found.message is not None
    assert found.message.body == "second is Crashed"
    assert (found.sent, Notification.objects.count(), NotificationPolicy.objects.count()) == (2, 0, 0)


def test_whoever_may_change_what_acts_may_read_what_a_dry_run_shows():
    changing = {Action.CHANGE_AUTOMATIONS, Action.CHANGE_NOTIFICATIONS}

    roles = [actions for actions in ACTIONS.values() if actions & changing]

    assert roles
    assert all({Action.READ_EVENTS, Action.READ_RUNS} <= actions for actions in roles)
