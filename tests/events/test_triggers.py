"""Which events set an automation off, and when none does."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from events.automations.services import evaluation, trigger_states
from events.automations.services.evaluation import judge_events
from events.automations.services.trigger_states import HELD_BACK, MOST_FIRINGS_A_MINUTE
from events.models import ActionRun, Automation, Event, TriggerState
from tests.events.automations import NOTHING, firings, happen, trigger
from tests.factories import NOON, later

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("asked", "fires"),
    [
        ({}, True),
        ({"expect": ["sensor.read"]}, True),
        ({"expect": ["sensor.*"]}, True),
        ({"expect": ["sensor."]}, False),
        ({"match": {"prefect.resource.id": "sensor.*"}}, True),
        ({"match": {"room": ["kitchen", "hall"]}}, True),
        ({"match": {"room": "!kitchen"}}, False),
        ({"match": {"floor": "1"}}, False),
        ({"match_related": {"prefect.resource.role": "house"}}, True),
        ({"match_related": {"prefect.resource.role": "garden"}}, False),
    ],
)
def test_a_trigger_looks_at_labels_and_names(make, asked, fires):
    make(trigger(**asked))
    house = {"prefect.resource.id": "house.1", "prefect.resource.role": "house"}
    happen(room="kitchen", related=[house])

    assert judge_events(later()) == int(fires)


def test_an_event_is_judged_once(make):
    make()
    happen()

    fired = [judge_events(later()), judge_events(later(2))]

    assert (fired, firings(), Event.objects.filter(pending=True).count()) == ([1, 0], 1, 0)


def test_events_from_before_the_automation_are_ignored(make):
    happen(at=NOON - timedelta(seconds=1))
    make()

    assert judge_events(later()) == 0


def test_a_disabled_automation_does_not_fire(make):
    make(enabled=False)
    happen()

    assert judge_events(later()) == 0


def test_a_threshold_is_counted_within_its_time_and_apart_for_each_value(make):
    make(trigger(threshold=2, within=60, for_each=["prefect.resource.id"]))
    for at, resource in [(0, "a"), (10, "b"), (70, "a"), (80, "b"), (90, "a")]:
        happen(at=later(at), resource=resource)

    assert judge_events(later(100)) == 1  # a at 70 and 90; b's second one came too late


def test_expected_events_count_only_after_the_first_event(make):
    make(trigger(after=["opened"], expect=["stolen"]))
    for second, event in enumerate(["stolen", "opened", "stolen", "stolen"]):
        happen(event, at=later(second))

    assert judge_events(later(10)) == 1


def test_a_watch_fires_when_nothing_came_in_time(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")

    early, late, again = (judge_events(later(second)) for second in (20, 40, 80))

    assert (early, late, again) == (0, 1, 0)


def test_a_watch_fires_because_of_an_event_that_it_expected_and_of_no_other(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    started = happen("started")
    happen("touched", at=later(10))

    judge_events(later(40))

    assert ActionRun.objects.get().event["id"] == str(started.pk)


def test_a_watch_is_satisfied_by_what_it_waited_for(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")
    happen("finished", at=later(10))

    assert judge_events(later(60)) == 0


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Each tick is over after one event."""
    monkeypatch.setattr(evaluation, "TICK_SECONDS", -1)
    monkeypatch.setattr(evaluation, "BATCH_SECONDS", -1)


def test_a_burst_of_events_is_judged_over_several_ticks_and_each_event_once(make, in_a_hurry):
    make(trigger(expect=["sensor.read"]))
    for second in range(3):
        happen(at=later(second))

    fired = [judge_events(later(10 + tick)) for tick in range(5)]

    assert fired[:3] == [1, 1, 1]
    assert (sum(fired), Event.objects.filter(event="sensor.read", pending=True).count()) == (3, 0)


def test_a_watch_waits_for_events_of_its_time_that_are_not_judged_yet(make, in_a_hurry):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    for second, event in enumerate(["started", "touched", "finished"]):
        happen(event, at=later(second))

    assert [judge_events(later(60)) for _ in range(4)] == [0, 0, 0, 0]


def test_a_watch_fires_though_later_events_are_not_judged_yet(make, in_a_hurry):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")
    happen("touched", at=later(34))
    happen("finished", at=later(35))

    assert judge_events(later(60)) == 1


def test_an_event_after_the_end_of_a_watch_does_not_satisfy_it_though_both_are_judged_together(make):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    happen("started")
    happen("finished", at=later(40))

    assert judge_events(later(60)) == 1


def test_many_watches_end_over_several_ticks_and_each_once(make, in_a_hurry):
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], for_each=["room"], within=30))
    for number in range(3):
        happen("started", at=later(number), room=f"r{number}")
    while Event.objects.filter(event="started", pending=True).exists():
        judge_events(later(3))

    fired = [judge_events(later(60)) for _ in range(6)]

    assert (max(fired), sum(fired)) == (1, 3)
    assert not TriggerState.objects.exists()


def test_watches_end_in_time_though_counts_of_another_automation_are_over(make, in_a_hurry):
    counting = make(trigger(expect=["touched"], for_each=["room"], threshold=5, within=30)).json()["id"]
    make(trigger(posture="Proactive", after=["started"], expect=["finished"], within=30))
    reactive = Automation.objects.get(pk=counting).trigger["id"]
    TriggerState.objects.bulk_create(
        TriggerState(
            automation_id=counting, trigger=reactive, bucket=f"r{number}", begun_at=NOON, ends_at=later(30), count=1
        )
        for number in range(20)
    )
    happen("started")
    judge_events(later(1))

    assert judge_events(later(60)) == 1
    assert not TriggerState.objects.exists()


def test_automations_share_the_time_in_which_watches_end(make, monkeypatch):
    monkeypatch.setattr(evaluation, "TICK_SECONDS", -1)
    monkeypatch.setattr(evaluation, "BATCH_SECONDS", 0.2)
    for event in ("first", "second"):
        make(trigger(posture="Proactive", after=[event], expect=["finished"], for_each=["room"], within=30))
    for number in range(10):
        for event in ("first", "second"):
            happen(event, room=f"r{number}")
    while Event.objects.filter(event__in=["first", "second"], pending=True).exists():
        judge_events(later(1))
    # Each end of a watch takes 0.02 s, on a machine of any speed.
    elapse, ended = trigger_states._elapse, []
    monkeypatch.setattr(trigger_states, "_elapse", lambda *given: ended.append(given) or elapse(*given))
    for module in (evaluation, trigger_states):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 0.02 * len(ended)))

    judge_events(later(60))

    counts = [TriggerState.objects.filter(automation=one).count() for one in Automation.objects.all()]
    assert all(0 < count < 10 for count in counts)


def test_a_watch_without_beginning_continues_from_time_to_time(make):
    make(trigger(posture="Proactive", expect=["heartbeat"], within=30))

    fired = [judge_events(later(second)) for second in (10, 40, 50, 70)]
    happen("heartbeat", at=later(75))
    after = judge_events(later(96))

    assert (fired, after) == ([0, 1, 0, 1], 0)
    assert TriggerState.objects.count() == 1


@pytest.mark.parametrize(
    ("require", "events", "fires"),
    [("all", ["a", "b"], 1), ("all", ["a", "a"], 0), ("any", ["b"], 1), (1, ["a"], 1), ("all", ["b", "a"], 1)],
)
def test_a_compound_trigger_fires_with_enough_of_its_parts(make, require, events, fires):
    parts = [trigger(expect=["a"]), trigger(expect=["b"])]
    make({"type": "compound", "triggers": parts, "require": require, "within": 60})
    for second, event in enumerate(events):
        happen(event, at=later(second))

    assert judge_events(later(10)) == fires


@pytest.mark.parametrize(("events", "fires"), [(["a", "b"], 1), (["b", "a"], 0), (["b", "a", "b"], 1)])
def test_a_sequence_fires_in_its_order(make, events, fires):
    make({"type": "sequence", "triggers": [trigger(expect=["a"]), trigger(expect=["b"])], "within": 60})
    for second, event in enumerate(events):
        happen(event, at=later(second))

    assert judge_events(later(10)) == fires


def test_parts_that_are_too_far_apart_do_not_count_together(make):
    make(
        {"type": "compound", "triggers": [trigger(expect=["a"]), trigger(expect=["b"])], "require": "all", "within": 5}
    )
    happen("a")
    happen("b", at=later(10))

    assert judge_events(later(20)) == 0


def test_an_automation_that_sets_itself_off_is_slowed_down_and_reports_it(make):
    make(None, NOTHING, {"type": "cancel-flow-run"})
    for _ in range(MOST_FIRINGS_A_MINUTE + 5):
        happen()

    fired = judge_events(later())

    held = ActionRun.objects.exclude(error="")
    failed = Event.objects.filter(event="prefect.automation.action.failed")
    assert fired == MOST_FIRINGS_A_MINUTE
    assert firings() == 2 * MOST_FIRINGS_A_MINUTE + 2
    assert [(one.error, one.done_at) for one in held] == [(HELD_BACK, later())] * 2
    assert sorted((one.payload["action_index"], one.payload["reason"]) for one in failed) == [
        (0, HELD_BACK),
        (1, HELD_BACK),
    ]


def test_an_automation_that_was_held_back_fires_again_after_a_minute(make):
    make()
    for _ in range(MOST_FIRINGS_A_MINUTE + 1):
        happen()
    judge_events(later())
    happen(at=later(61))

    fired = judge_events(later(62))

    assert (fired, ActionRun.objects.exclude(error="").count()) == (1, 1)


def test_events_that_clients_report_hold_no_automation_back(make):
    mine = make().json()["id"]
    for _ in range(MOST_FIRINGS_A_MINUTE):
        happen("prefect.automation.triggered", resource=f"prefect.automation.{mine}")
    happen()

    assert judge_events(later()) == 1


def test_an_automation_without_actions_is_not_held_back(make):
    make(actions=[])
    for _ in range(MOST_FIRINGS_A_MINUTE + 1):
        happen()

    assert judge_events(later()) == MOST_FIRINGS_A_MINUTE + 1
