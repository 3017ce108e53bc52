"""Automations that break keep no other from being judged."""

from __future__ import annotations

import pytest
from django.db import DataError, OperationalError

from events.automations.services import trigger_states
from events.automations.services.evaluation import JudgingFailed, judge_events
from events.models import ActionRun, Automation, Event
from tests.events.automations import happen, trigger
from tests.factories import later

pytestmark = pytest.mark.django_db


def break_trigger(automation):
    """Store a trigger that the API would have refused: it raises an error for every room but the kitchen."""
    stored = Automation.objects.get(pk=automation.json()["id"])
    stored.trigger["match"] = {"room": ["kitchen", 7]}
    stored.save(update_fields=["trigger"])


def test_a_trigger_that_breaks_keeps_no_other_from_being_judged(make):
    break_trigger(make(name="a"))
    make(name="b")
    happen(room="hall")
    happen(room="kitchen")

    with pytest.raises(JudgingFailed, match="'a'.*AttributeError") as raised:
        judge_events(later())

    assert "'b'" not in str(raised.value)
    assert sorted(one.automation.name for one in ActionRun.objects.all()) == ["a", "b", "b"]
    assert not Event.objects.filter(pending=True).exists()


def test_a_trigger_that_cannot_be_read_keeps_no_other_from_being_judged(make):
    Automation.objects.filter(pk=make(name="a").json()["id"]).update(trigger={"type": "metric"})
    make(name="b")
    make(trigger(posture="Proactive", within=10, expect=["never"]), name="c")
    happen()

    with pytest.raises(JudgingFailed, match="'a'.*KeyError"):
        judge_events(later(20))

    assert sorted(one.automation.name for one in ActionRun.objects.all()) == ["b", "c"]


def test_a_watch_that_breaks_keeps_no_other_from_ending(make, monkeypatch):
    for name in "ab":
        make(trigger(posture="Proactive", within=10), name=name)
    break_when_set_off(monkeypatch, DataError("out of range"))

    with pytest.raises(JudgingFailed, match="'a'.*out of range"):
        judge_events(later(20))

    assert [one.automation.name for one in ActionRun.objects.all()] == ["b"]


def test_changes_of_a_broken_automation_are_undone(make, monkeypatch):
    make(name="a")
    make(name="b")
    break_when_set_off(monkeypatch, DataError("out of range"))
    happen()

    with pytest.raises(JudgingFailed, match="'a'.*out of range"):
        judge_events(later())

    assert [one.automation.name for one in ActionRun.objects.all()] == ["b"]


def test_a_database_that_is_away_is_not_a_fault_of_an_automation(make, monkeypatch):
    make(name="a")
    break_when_set_off(monkeypatch, OperationalError("gone"))
    happen()

    with pytest.raises(OperationalError):
        judge_events(later())

    assert Event.objects.filter(pending=True).exists()


def break_when_set_off(monkeypatch, problem):
    """The automation "a" breaks after its action run was stored."""
    set_off = trigger_states._set_off

    def breaking(automation, *rest):
        is_set_off = set_off(automation, *rest)
        if automation.name == "a":
            raise problem
        return is_set_off

    monkeypatch.setattr(trigger_states, "_set_off", breaking)
