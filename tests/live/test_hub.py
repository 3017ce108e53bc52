"""The hub: a seat is told of changes to the topics that it shows, once for several changes, and of no others."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from orion_site.live import hub as hubs
from orion_site.live.changes import MOST, Noted, run_changed
from orion_site.live.hub import Hub, Seat


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that does not follow the database."""

    async def follows_nothing(self: Hub) -> None:
        return

    monkeypatch.setattr(Hub, "_follow", follows_nothing)
    return Hub()


def seated(hub: Hub, *topics: str, since: str | None = None) -> Seat:
    seat = hub.sit()
    hub.show(seat, topics, hub.place_for_page() if since is None else since)
    return seat


async def test_a_seat_is_notified_of_the_topics_that_it_shows_only(hub: Hub):
    seat = seated(hub, "run:1", "runs")

    hub.publish({"run:1", "run:2", "runs", "flow:3"})

    assert seat.take() == (["run:1", "runs"], False)
    assert seat.take() == ([], False)


async def test_a_storm_is_one_message(hub: Hub):
    seat = seated(hub, "runs")

    for number in range(1000):
        hub.publish({"runs", f"run:{number}"})

    assert seat.take() == (["runs"], False)


async def test_a_page_catches_up_with_what_changed_since_it_was_read(hub: Hub):
    read_at = hub.place_for_page()
    hub.publish({"run:1"})
    hub.publish({"run:2"})

    seat = seated(hub, "run:1", "run:3", since=read_at)

    assert seat.take() == (["run:1"], False)


async def test_a_current_page_is_not_notified(hub: Hub):
    hub.place_for_page()
    hub.publish({"run:1"})

    assert seated(hub, "run:1", since=hub.place).take() == ([], False)


@pytest.mark.parametrize("place", ["", "other.5", "{tag}.99x", "{tag}.", "{tag}.0", "{tag}.9999999999999999"])
async def test_a_page_of_another_server_or_long_ago_checks_everything(hub: Hub, place: str):
    tag = hub.place_for_page().split(".")[0]

    assert seated(hub, "run:1", since=place.format(tag=tag)).take() == ([], True)


async def test_topics_that_were_not_followed_are_unknown(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubs, "AWAKE_SECONDS", -1)
    old = hub.place_for_page()

    hub.place_for_page()

    assert hub.number_of(old) is None


async def test_topics_are_remembered_up_to_a_number(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubs, "MOST_REMEMBERED_TOPICS", 10)
    old = hub.place_for_page()

    for number in range(20):
        hub.publish({f"run:{number}"})

    # What was forgotten may have been a run, but no task run and no line.
    assert seated(hub, "run:1", "run:1:log", "task-runs", since=old).take() == (["run:1"], False)
    assert seated(hub, "run:1", since=hub.place).take() == ([], False)
    assert len(hub._changed) == 10


async def test_more_changes_than_can_be_sent_make_every_page_check(hub: Hub):
    seats = [seated(hub, "run:1"), seated(hub, "flow:2")]

    hub.publish_everything()

    assert [seat.take() for seat in seats] == [([], True), ([], True)]


async def test_too_many_changes_of_task_runs_are_no_changes_of_runs(hub: Hub):
    place = hub.place_for_page()
    busy, quiet = seated(hub, "run:1", "run:1:tasks", "run:1:log"), seated(hub, "run:2", "runs")

    hub.publish_family("tasks")

    assert busy.take() == (["run:1:tasks"], False)
    assert quiet.take() == ([], False)
    assert hub.number_of(place) is not None


async def test_a_page_whose_socket_comes_later_is_told_of_too_many_changes_meanwhile(hub: Hub):
    # No page showed any of it yet.
    place = hub.place_for_page()
    hub.publish_family("tasks")
    after = hub.place_for_page()

    assert seated(hub, "run:1", "run:1:tasks", "task:3", since=place).take() == (["run:1:tasks", "task:3"], False)
    assert seated(hub, "run:1", "run:1:tasks", "task:3", since=after).take() == ([], False)


async def test_a_socket_that_changes_its_subject_receives_no_more_of_the_first(hub: Hub):
    seat = seated(hub, "run:1")
    hub.show(seat, ["run:2"], hub.place)

    hub.publish({"run:1"})

    assert seat.take() == ([], False)


async def test_a_socket_that_left_is_forgotten(hub: Hub):
    seat = seated(hub, "run:1")

    hub.leave(seat)

    assert (hub._open, dict(hub._seats)) == (set(), {})


async def test_many_sockets_are_woken_one_after_the_other(hub: Hub):
    seats = [seated(hub, "runs") for _ in range(50)]
    for seat in seats:
        seat.take()
        seat._taken_at = 0.0

    hub.publish({"runs"})
    at_once = sum(seat._woken.is_set() for seat in seats)
    await asyncio.sleep(60 * hubs.STAGGER_SECONDS)

    assert at_once <= hubs.AT_ONCE + 1
    assert all(seat._woken.is_set() for seat in seats)


async def test_a_busy_topic_does_not_delay_others(hub: Hub):
    seat = seated(hub, "runs", "run:1")
    hub.publish({"runs"})
    seat.take()

    hub.publish({"runs", "run:1"})

    assert seat.take() == (["run:1"], False)
    await asyncio.wait_for(seat._woken.wait(), 5)
    assert seat.take() == (["runs"], False)


async def test_a_connection_that_breaks_before_a_topic_was_sent_continues_before_its_change(hub: Hub):
    seat = seated(hub, "runs", "run:1")
    hub.publish({"runs"})
    seat.take()
    assert seat.lacks_since is None
    before = hub.place
    hub.publish({"runs"})
    hub.publish({"runs", "run:1"})

    assert seat.take() == (["run:1"], False)
    assert seat.lacks_since is not None
    assert hub.place_of(seat.lacks_since) == before
    assert "runs" in seated(hub, "runs", "run:1", since=before).take()[0]


async def test_a_connection_that_breaks_before_a_complete_refresh_begins_with_one(hub: Hub):
    seat = seated(hub, "runs")
    hub.publish_everything()
    assert seat.take() == ([], True)
    assert seat.lacks_since is None

    hub.publish_everything()

    assert seat.take() == ([], False)
    assert hub.number_of(hub.place_of(seat.lacks_since or 0)) is None


async def test_a_topic_that_waits_wakes_its_socket_once(hub: Hub):
    seat = seated(hub, "runs")
    hub.publish({"runs"})
    seat.take()

    for _ in range(100):
        hub.publish({"runs"})
    woken_at_once = seat._woken.is_set()
    alarm = seat._alarm
    hub.publish({"runs"})

    assert not woken_at_once
    assert alarm is not None
    assert seat._alarm is alarm


async def test_no_subscriber_waits_forever():
    seat = Seat()

    await asyncio.wait_for(seat.woken(0.01), 5)

    assert seat.take() == ([], False)


# --- what the writers of states note ---


def test_the_changes_of_a_run_are_one():
    noted, run = Noted(), uuid4()
    for state in ("PENDING", "RUNNING", "COMPLETED"):
        noted.note("flow-run", run, state)

    assert noted.take() == ([("flow-run", run)], False)
    assert noted.take() == ([], False)


def test_unread_changes_fill_no_memory():
    noted = Noted()
    for _ in range(MOST + 5):
        noted.note("task-run", uuid4(), "RUNNING")

    changed, overflowed = noted.take()

    assert (len(changed), overflowed) == (MOST, True)
    assert noted.take() == ([], False)


def test_a_consumer_of_changes_is_woken_by_the_first_one():
    noted, woken = Noted(), []
    noted.wake = lambda: woken.append(1)

    for _ in range(3):
        noted.note("task-run", uuid4(), "RUNNING")
    assert (len(woken), noted.has_any) == (1, True)
    noted.take()
    assert not noted.has_any
    noted.note("task-run", uuid4(), "RUNNING")

    assert len(woken) == 2


async def test_changes_are_noted_for_a_page_that_connects_again_after_a_restart(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    noted = Noted()
    monkeypatch.setattr(hubs, "noted", noted)
    monkeypatch.setattr("orion_site.live.changes.noted", noted)

    seated(hub, "runs", since="earlier.5")
    run_changed("flow-run", run := uuid4(), "RUNNING")

    assert noted.take() == ([("flow-run", run)], False)


def test_while_no_page_is_open_nothing_is_noted(monkeypatch: pytest.MonkeyPatch):
    noted = Noted()
    monkeypatch.setattr("orion_site.live.changes.noted", noted)

    run_changed("flow-run", uuid4(), "RUNNING")
    noted.open()
    run_changed("flow-run", run := uuid4(), "RUNNING")

    assert noted.take() == ([("flow-run", run)], False)
