"""Several servers archive at the same time, and runs change meanwhile: the archive never has a part of a run alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from deployments.archive import services
from deployments.archive.place import place
from deployments.archive.selectors import archived_run
from deployments.archive.services import archive_runs, sparing_restored, write
from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services import retention
from deployments.upkeep.services.retention import retain
from orchestration.services import propose_flow_run_state
from runs.models import FlowRun, Log
from tests.archive.test_archive import DAY, archived, ended
from tests.factories import NOON, make_state

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)


def lines_of(run: FlowRun) -> list[str]:
    kept = archived_run(run.pk)
    assert kept is not None
    return [one.message for one in kept.logs]


def while_the_log_is_unread(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let another server act when this one has read flow runs and task runs, and not yet their logs."""
    write_table = services._write_table

    def interrupted(folder, name, *rest):
        if name == "logs":
            monkeypatch.undo()
            act()
        return write_table(folder, name, *rest)

    monkeypatch.setattr(services, "_write_table", interrupted)


def test_a_run_that_another_server_moves_while_it_is_read_keeps_its_log(monkeypatch: pytest.MonkeyPatch):
    run = ended()
    while_the_log_is_unread(monkeypatch, archived)

    done = archived(LATER)

    assert (done.batches, len(place().batches())) == (0, 1)
    assert lines_of(run) == [f"line of {run.name}"]


def test_runs_that_another_server_begins_to_move_are_left_to_it(monkeypatch: pytest.MonkeyPatch):
    run, other = ended(), ended()
    while_the_log_is_unread(monkeypatch, lambda: write(place(), [run.pk], now=NOON))

    done = archived(LATER)

    assert (done.flow_runs, [one.pk for one in FlowRun.objects.all()]) == (1, [run.pk])
    assert lines_of(other) == [f"line of {other.name}"]


def test_runs_beside_one_that_is_started_again_during_their_deletion_keep_their_log(monkeypatch: pytest.MonkeyPatch):
    failed, other = ended(state="FAILED"), ended()

    def retried(*_: float) -> None:
        monkeypatch.undo()
        propose_flow_run_state(run_id=failed.pk, proposed=make_state("SCHEDULED"), now=NOON, force=True)

    # In the pause after the first rows: the logs of both runs are deleted.
    monkeypatch.setattr(retention, "_let_others_write", retried)
    archived()
    assert not Log.objects.exists()

    archived(LATER)

    assert [one.pk for one in FlowRun.objects.all()] == [failed.pk]
    assert lines_of(other) == [f"line of {other.name}"]


def test_retention_leaves_runs_to_the_server_that_archives_them():
    run = ended()
    write(place(), [run.pk], now=NOON)

    retain(ages=sparing_restored(Ages(runs=DAY, archived=True), NOON), now=NOON)
    assert FlowRun.objects.filter(pk=run.pk).exists()

    archived(LATER)
    assert not FlowRun.objects.filter(pk=run.pk).exists()


def test_a_batch_with_runs_too_young_for_one_server_is_left_to_one_that_archives_sooner():
    old, young = ended(at=NOON - 40 * DAY), ended(at=NOON - 6 * DAY)
    write(place(), [old.pk, young.pk], now=NOON)

    archive_runs(older_than=30 * DAY, now=NOON)
    assert [one.pk for one in FlowRun.objects.all()] == [young.pk]
    assert [one.is_cleared for one in place().batches()] == [False]

    # Meanwhile retention leaves its log alone, and no second batch of it is written.
    retain(ages=sparing_restored(Ages(logs=DAY, archived=True), LATER), now=LATER)
    done = archive_runs(older_than=5 * DAY, now=LATER)
    assert (done.batches, FlowRun.objects.count()) == (0, 0)
    assert [one.is_cleared for one in place().batches()] == [True]
    assert lines_of(young) == [f"line of {young.name}"]


def test_runs_that_changed_or_are_kept_do_not_hold_a_batch_back():
    changed, kept = ended(at=NOON - 6 * DAY, state="FAILED"), ended(at=NOON - 6 * DAY)
    write(place(), [changed.pk, kept.pk], now=NOON)
    propose_flow_run_state(run_id=changed.pk, proposed=make_state("SCHEDULED"), now=NOON, force=True)
    place().keep([kept.pk], until=NOON + DAY, now=NOON)

    archive_runs(older_than=30 * DAY, now=NOON)

    assert [one.is_cleared for one in place().batches()] == [True]
    assert FlowRun.objects.count() == 2
