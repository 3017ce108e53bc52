"""Old runs are moved to Parquet: written and compared before they go, readable afterwards, and never lost."""

from __future__ import annotations

import json
import os
import random
import stat
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from unittest import mock
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from deployments.archive import place as places
from deployments.archive import restoring, services
from deployments.archive.place import ArchiveUnavailable, place
from deployments.archive.restoring import restore_day, restore_run
from deployments.archive.selectors import Wanted, archived_run, archived_runs
from deployments.archive.services import archive_runs, count_archivable, sparing_restored
from deployments.upkeep.selectors.invariants import violations
from deployments.upkeep.selectors.old_rows import Ages, old_families
from deployments.upkeep.services.retention import purge, retain
from events.models import Event
from orchestration.services import propose_flow_run_state, propose_task_run_state
from runs.models import Artifact, FlowRun, FlowRunState, Log, TaskRun, TaskRunState
from runs.states.selectors import states_of_task_run, unfolded
from tests.factories import NOON, make_artifact, make_flow, make_flow_run, make_log, make_state, make_task_run
from tests.rounds import examples
from tests.services.test_retention import noting_values

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
OLD = NOON - 20 * DAY


def ended(at=OLD, state: str = "COMPLETED", tasks: int = 2, **fields) -> FlowRun:
    run = make_flow_run("RUNNING", now=at, **fields)
    for _ in range(tasks):
        task = make_task_run("PENDING", flow_run=run, now=at)
        propose_task_run_state(run_id=task.pk, proposed=make_state("RUNNING"), now=at)
        propose_task_run_state(run_id=task.pk, proposed=make_state("COMPLETED"), now=at)
    make_log(f"line of {run.name}", flow_run=run, now=at)
    propose_flow_run_state(run_id=run.pk, proposed=make_state(state), now=at)
    return run


def archived(now=NOON):
    return archive_runs(older_than=14 * DAY, now=now)


def test_an_old_run_is_moved_with_everything_below_it():
    run, young = ended(), ended(NOON - DAY)
    make_artifact(None, flow_run_id=run.pk, now=OLD)
    assert count_archivable(older_than=14 * DAY, now=NOON) == 1

    done = archived()

    assert (done.batches, done.flow_runs, done.task_runs) == (1, 1, 2)
    assert dict(+done.deleted) == {"flow runs": 1, "task runs": 2, "logs": 1, "artifacts": 1}
    assert [one.pk for one in FlowRun.objects.all()] == [young.pk]
    kept = archived_run(run.pk)
    assert kept is not None
    assert (kept.task_run_count, kept.log_count, len(kept.artifacts)) == (2, 1, 1)
    assert kept.logs[0].message == f"line of {run.name}"


@pytest.mark.parametrize("made_before", ["", f"archive/{OLD:%Y-%m-%d}"], ids=["new", "a folder that was not flushed"])
def test_what_is_written_survives_a_power_failure_when_rows_are_deleted(archive, monkeypatch, made_before: str):
    (archive.parent / made_before).mkdir(parents=True, exist_ok=True)
    on_disk: set[tuple[int, str]] = set()
    flush = os.fsync

    def recorded(descriptor: int) -> None:
        """Record the files that are in a folder when it is flushed."""
        flush(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            on_disk.update((os.fstat(descriptor).st_ino, name) for name in os.listdir(descriptor))

    monkeypatch.setattr(os, "fsync", recorded)
    ended()

    archived()

    written = [archive, *archive.rglob("*")]
    assert [path.name for path in written if (path.parent.stat().st_ino, path.name) not in on_disk] == []
    assert {"manifest.json", "cleared.json", "logs.parquet"} < {path.name for path in written}


def fields_of(row) -> dict:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_the_archive_has_every_column_as_it_was():
    run = ended(parameters={"ä": [1, None, "x"]}, tags=["prod", "a'b"], retries=3)
    before = {
        "run": fields_of(FlowRun.objects.get(pk=run.pk)),
        "states": [fields_of(one) for one in FlowRunState.objects.filter(flow_run=run).order_by("seq")],
        "tasks": {one.pk: fields_of(one) for one in TaskRun.objects.filter(flow_run=run)},
        "histories": {one.pk: histories(states_of_task_run(one)) for one in TaskRun.objects.filter(flow_run=run)},
    }

    archived()

    kept = archived_run(run.pk)
    assert kept is not None
    assert fields_of(kept.run) == before["run"]
    assert [fields_of(one) for one in kept.states] == before["states"]
    assert {one.pk: fields_of(one) for one in kept.task_runs} == before["tasks"]
    found = {one.pk: histories([*unfolded(one), *kept.task_run_states.get(one.pk, ())]) for one in kept.task_runs}
    assert found == before["histories"]


def histories(states) -> list:
    return [(one.pk, one.seq, one.type, one.name, one.timestamp, list(map(tuple, one.trail))) for one in states]


def test_open_and_recent_runs_stay_with_the_runs_around_them():
    parent = make_flow_run("RUNNING", now=OLD)
    task = make_task_run("RUNNING", flow_run=parent, now=OLD)
    make_flow_run("RUNNING", now=OLD, parent_task_run_id=task.pk)
    propose_flow_run_state(run_id=parent.pk, proposed=make_state("COMPLETED"), now=OLD)
    ended(NOON - 13 * DAY)

    assert archived().batches == 0
    assert FlowRun.objects.count() == 3


def test_lists_go_by_time_state_flow_name_and_pages():
    flow = make_flow("etl")
    runs = [
        ended(OLD - number * DAY, "FAILED" if number == 2 else "COMPLETED", flow=flow, tasks=0) for number in range(4)
    ]
    other = ended(OLD - 2 * DAY, tasks=0, name="needle one")
    archived()

    def found(limit: int = 10, **wanted) -> list:
        return [one.id for one in archived_runs(Wanted(**wanted), limit=limit)]

    assert found(flow="etl") == [one.pk for one in runs]
    assert found(states=["FAILED"]) == [runs[2].pk]
    assert found(name="NEEDLE") == [other.pk]
    assert found(since=OLD - DAY) == [runs[0].pk, runs[1].pk]
    assert found(until=OLD - 2 * DAY) == [runs[3].pk]
    first = archived_runs(Wanted(flow="etl"), limit=2)
    assert found(flow="etl", after=(first[-1].expected, first[-1].id)) == [runs[2].pk, runs[3].pk]
    assert found(name="' OR 1=1 --") == []


def test_nothing_is_deleted_upon_a_file_that_is_not_what_was_written(archive: Path, monkeypatch):
    run = ended()
    write = services.write

    def torn(*args, **kwargs):
        batch = write(*args, **kwargs)
        file = Path(batch.folder, "task_runs.parquet")
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        return batch

    monkeypatch.setattr(services, "write", torn)

    with pytest.raises(ArchiveUnavailable, match="checksum differs"):
        archived()

    assert FlowRun.objects.filter(pk=run.pk).exists()
    assert Log.objects.count() == 1


def test_a_place_that_cannot_be_written_deletes_nothing(settings, tmp_path: Path):
    run = ended()
    (tmp_path / "file").write_text("")
    settings.ORION_ARCHIVE_PATH = str(tmp_path / "file" / "archive")

    with pytest.raises((ArchiveUnavailable, OSError)):
        archived()

    assert FlowRun.objects.filter(pk=run.pk).exists()


def test_the_error_without_the_extra_names_the_package(monkeypatch):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(places, "import_module", missing)

    with pytest.raises(ArchiveUnavailable, match=r"pip install 'orionflow-server\[archive\]'"):
        archived()


def test_a_run_that_changed_after_it_was_written_stays_and_is_written_again(monkeypatch):
    run = ended()
    clear = services.clear

    def changed_before(*args, **kwargs):
        make_log("came late", flow_run=run, now=NOON)
        clear(*args, **kwargs)

    monkeypatch.setattr(services, "clear", changed_before)
    archived()
    assert FlowRun.objects.filter(pk=run.pk).exists()
    monkeypatch.setattr(services, "clear", clear)

    archived(NOON + timedelta(hours=1))

    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert [one.id for one in archived_runs(Wanted(), limit=10)] == [run.pk]
    kept = archived_run(run.pk)
    assert kept is not None
    assert [one.message for one in kept.logs] == [f"line of {run.name}", "came late"]


def test_after_a_kill_between_writing_and_deleting_the_next_run_deletes(monkeypatch):
    run = ended()
    monkeypatch.setattr(services, "clear", lambda *args, **kwargs: None)
    archived()
    monkeypatch.undo()

    again = archived()

    assert (again.batches, again.deleted["flow runs"]) == (0, 1)
    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert len(place().batches()) == 1


def test_files_without_a_manifest_are_not_there(archive: Path):
    run = ended()
    archived()
    for manifest in archive.rglob("manifest.json"):
        manifest.unlink()

    assert place().batches() == []
    assert archived_run(run.pk) is None


def test_logs_of_runs_that_wait_for_the_archive_stay():
    run = ended()

    gone = purge(ages=Ages(logs=5 * DAY, archived=True), now=NOON, pause_seconds=0)

    assert gone["logs"] == 0
    assert Log.objects.filter(flow_run_id=run.pk).exists()
    assert purge(ages=Ages(logs=5 * DAY), now=NOON, pause_seconds=0)["logs"] == 1


def test_the_newest_artifact_of_a_key_is_in_both():
    run = ended()
    artifact = make_artifact("report", flow_run_id=run.pk, now=OLD)

    archived()

    assert Artifact.objects.filter(pk=artifact.pk).exists()
    kept = archived_run(run.pk)
    assert kept is not None
    assert [one.key for one in kept.artifacts] == ["report"]


def test_many_runs_are_several_batches_of_one_day_each(monkeypatch):
    monkeypatch.setattr(services, "FLOW_RUNS_PER_BATCH", 2)
    monkeypatch.setattr("deployments.upkeep.selectors.old_rows.RUNS_AT_ONCE", 1)
    runs = [ended(OLD - number * timedelta(hours=1), tasks=1) for number in range(5)]
    yesterday = ended(OLD - DAY, tasks=0)

    done = archived()

    assert done.flow_runs == 6
    assert [batch.day for batch in place().batches()] == ["2025-12-15"] + ["2025-12-16"] * (done.batches - 1)
    assert {one.id for one in archived_runs(Wanted(), limit=10)} == {one.pk for one in [*runs, yesterday]}


def test_a_family_of_any_size_is_moved_together(monkeypatch):
    for name in ("selectors.old_rows.RUNS_AT_ONCE", "services.retention.CHUNK"):
        monkeypatch.setattr(f"deployments.upkeep.{name}", 3)
    for name in ("RUNS_AT_ONCE", "IDS_AT_ONCE"):
        monkeypatch.setattr(services, name, 3)
    outer = ended(tasks=20)
    for task in TaskRun.objects.filter(flow_run=outer):
        ended(tasks=0, parent_task_run_id=task.pk)

    with connection.execute_wrapper(noting_values(numbers := [])):
        done = archived()

    assert (done.batches, done.flow_runs, FlowRun.objects.count()) == (1, 21, 0)
    assert max(numbers) < 20


def test_any_file_system_will_do(settings):
    settings.ORION_ARCHIVE_PATH = "memory://orion-archive"
    run = ended()

    archived()

    assert [one.id for one in archived_runs(Wanted(), limit=10)] == [run.pk]
    kept = archived_run(run.pk)
    assert kept is not None
    assert kept.log_count == 1


@examples(1, 60)
@given(st.integers(0, 2**32))
def test_no_open_run_and_nothing_within_its_time_is_ever_lost(archive: Path, seed: int):
    """Families of any age, some unfinished, are archived and deleted at any time, and writers are killed in between."""
    chance = random.Random(seed)
    with undone(), mock.patch.object(services, "clear", wraps=services.clear) as clear:
        now, lines, open_runs = NOON, {}, set()
        for _ in range(3):
            now += timedelta(hours=chance.randint(1, 500))
            for _ in range(chance.randint(1, 3)):
                for run in family(chance, now - timedelta(days=chance.randint(0, 40)), open_runs):
                    lines[make_log(flow_run=run, now=now).pk] = run.pk
            # A process that is killed after writing the manifest has written the files and deleted nothing.
            clear.side_effect = Killed if chance.random() < 0.3 else None
            with suppress(Killed):
                archive_runs(older_than=14 * DAY, now=now)
                retain(ages=Ages(runs=90 * DAY, logs=30 * DAY, archived=True), now=now)

            there = set(FlowRun.objects.values_list("pk", flat=True))
            kept = {one.id for one in archived_runs(Wanted(), limit=1000)}
            assert set(lines.values()) <= there | kept
            assert open_runs <= there
        stored = set(Log.objects.values_list("pk", flat=True))
        for run in set(lines.values()) - there:
            stored |= {line.pk for line in archived_run(run).logs}
        assert lines.keys() <= stored


class Killed(Exception):
    """The end of a process at this moment."""


def family(chance: random.Random, at: datetime, open_runs: set) -> list[FlowRun]:
    """A run, perhaps with one nested in it, each open or over."""
    outer = make_flow_run("RUNNING", now=at)
    runs = [outer]
    if chance.random() < 0.5:
        task = make_task_run("RUNNING", flow_run=outer, now=at)
        runs.append(make_flow_run("RUNNING", now=at, parent_task_run_id=task.pk))
    for run in runs:
        if chance.random() < 0.3:
            open_runs.add(run.pk)
        else:
            propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=at, force=True)
    return runs


@contextmanager
def undone():
    with tempfile.TemporaryDirectory() as folder, override_settings(ORION_ARCHIVE_PATH=folder), transaction.atomic():
        yield
        transaction.set_rollback(True)


def test_the_events_of_a_run_are_kept_with_it_and_stay_as_long_as_others():
    run, other = ended(), ended(NOON - DAY)
    of_run = [make_event_of(run, "prefect.flow-run.Running", OLD), make_event_of(run, "mine", OLD + DAY)]
    make_event_of(other, "prefect.flow-run.Running", OLD)

    archived()

    assert Event.objects.count() == 3
    Event.objects.all().delete()
    kept = archived_run(run.pk)
    assert kept is not None
    assert [fields_of(one) for one in kept.events] == of_run


def test_a_batch_of_a_version_that_kept_no_events_is_read(archive: Path):
    run = ended()
    archived()
    for manifest in archive.rglob("manifest.json"):
        answer = json.loads(manifest.read_text())
        del answer["files"]["events"]
        manifest.write_text(json.dumps(answer))

    kept = archived_run(run.pk)

    assert kept is not None
    assert kept.events == []


def make_event_of(run: FlowRun, name: str, at: datetime) -> dict:
    resource = f"prefect.flow-run.{run.pk}"
    event = Event.objects.create(
        event=name,
        occurred=at,
        resource_id=resource,
        resource={"prefect.resource.id": resource},
        payload={"a": [1, None]},
    )
    return fields_of(Event.objects.get(pk=event.pk))


def everything_of(run: FlowRun) -> dict:
    tasks = TaskRun.objects.filter(flow_run=run)
    return {
        "run": timeless(FlowRun.objects.get(pk=run.pk)),
        "states": [fields_of(one) for one in FlowRunState.objects.filter(flow_run=run).order_by("seq")],
        "tasks": {one.pk: timeless(one) for one in tasks},
        "histories": {one.pk: histories(states_of_task_run(one)) for one in tasks},
        "logs": [fields_of(one) for one in Log.objects.filter(flow_run_id=run.pk).order_by("pk")],
        "artifacts": [timeless(one) for one in Artifact.objects.filter(flow_run_id=run.pk).order_by("pk")],
    }


def timeless(row) -> dict:
    """Without the moment at which this row was written."""
    return {name: value for name, value in fields_of(row).items() if name != "updated"}


@pytest.mark.parametrize("asked_for", [0, 1], ids=["the outer run", "the run in it"])
def test_a_run_that_is_restored_is_as_it_was_and_stays_for_its_time(asked_for: int):
    outer = ended(parameters={"x": [1]}, tags=["prod"])
    inner = ended(parent_task_run_id=TaskRun.objects.filter(flow_run=outer).earliest("pk").pk)
    other = ended()
    make_artifact(None, flow_run_id=outer.pk, now=OLD)
    make_artifact("report", flow_run_id=outer.pk, now=OLD)
    before = [everything_of(outer), everything_of(inner)]
    archived()

    added = restore_run([outer, inner][asked_for].pk, keep=DAY, now=NOON)

    assert [everything_of(outer), everything_of(inner)] == before
    assert added["flow runs"] == 2
    assert not FlowRun.objects.filter(pk=other.pk).exists()
    # Nothing removes it before its time; then it is deleted with all that it contains.
    for later, is_there in ((NOON + timedelta(hours=23), True), (NOON + timedelta(hours=25), False)):
        archived(later)
        retain(ages=sparing_restored(Ages(runs=DAY, logs=DAY, archived=True), later), now=later)
        assert FlowRun.objects.filter(pk__in=[outer.pk, inner.pk]).count() == 2 * is_there
        assert TaskRun.objects.count() == 4 * is_there
    assert len(archived_runs(Wanted(), limit=10)) == 3
    assert violations_found() == []


def violations_found() -> list:
    return [str(one) for one in violations(NOON)]


def test_the_runs_of_a_day_are_restored():
    runs = [ended(), ended(OLD + timedelta(hours=1)), ended(OLD - DAY)]
    before = [everything_of(run) for run in runs[:2]]
    archived()

    added = restore_day(OLD.date(), keep=DAY, now=NOON)
    again = restore_day(OLD.date(), keep=DAY, now=NOON)

    assert [everything_of(run) for run in runs[:2]] == before
    assert (added["flow runs"], +again) == (2, Counter())
    assert FlowRun.objects.count() == 2


def test_a_restored_run_does_not_take_names_and_keys_that_others_use_now():
    """Of two archived runs, the flow of one was deleted, and the idempotency key of the other was used again."""
    run, other = (ended(flow=make_flow(name), idempotency_key="k") for name in ("a", "b"))
    archived()
    run.flow.delete()
    taken = make_flow_run("COMPLETED", flow=other.flow, idempotency_key="k")

    restore_run(run.pk, keep=DAY, now=NOON)
    restore_run(other.pk, keep=DAY, now=NOON)

    restored = FlowRun.objects.select_related("flow").get(pk=run.pk)
    assert (restored.flow.name, restored.idempotency_key) == ("a", "k")
    assert FlowRun.objects.get(pk=other.pk).idempotency_key is None
    assert FlowRun.objects.get(pk=taken.pk).idempotency_key == "k"


def test_periods_may_reach_beyond_all_times():
    run, period = ended(), timedelta(days=3_000_000)
    assert count_archivable(older_than=period, now=NOON) == archive_runs(older_than=period, now=NOON).flow_runs == 0
    archived()

    restore_run(run.pk, keep=period, now=NOON)

    archived(NOON + 1000 * DAY)
    assert FlowRun.objects.filter(pk=run.pk).exists()


def test_runs_that_are_not_archived_or_still_stored_are_not_restored():
    run = ended()
    assert restore_run(run.pk, keep=DAY, now=NOON) == Counter()

    archived()
    restore_run(run.pk, keep=DAY, now=NOON)

    assert restore_run(run.pk, keep=DAY, now=NOON) == Counter()
    assert FlowRun.objects.count() == 1


@pytest.mark.parametrize("missing", [TaskRun, Log], ids=lambda model: model.__name__)
def test_an_interrupted_restore_is_finished_by_the_next_and_its_rows_do_not_count_until_then(missing):
    run = ended()
    make_artifact(None, flow_run_id=run.pk, now=OLD)
    before = everything_of(run)
    archived()
    with killed_before(missing), pytest.raises(Killed):
        restore_run(run.pk, keep=DAY, now=NOON)

    # Never archive it, however late it is: a part of a run would become the newest version in the archive.
    later = NOON + 2 * DAY
    assert archived(later).batches == 0
    retain(ages=sparing_restored(Ages(runs=DAY, logs=DAY, archived=True), later), now=later)
    restore_run(run.pk, keep=DAY, now=later)

    assert everything_of(run) == before
    assert violations_found() == []
    assert archived(later + 2 * DAY).flow_runs == 1
    assert FlowRun.objects.count() == 0


@contextmanager
def killed_before(model):
    add = restoring._add

    def killed(one, rows):
        if one is model:
            raise Killed
        return add(one, rows)

    with mock.patch.object(restoring, "_add", killed):
        yield


def test_a_run_that_is_restored_during_a_search_for_old_runs_is_kept(monkeypatch):
    monkeypatch.setattr("deployments.upkeep.selectors.old_rows.RUNS_AT_ONCE", 1)
    run = ended()
    archived()
    older = ended(OLD - DAY)

    found = old_families(before=NOON - 14 * DAY, kept=partial(place().kept, NOON))
    assert next(found) == [older.pk]
    restore_run(run.pk, keep=DAY, now=NOON)

    assert list(found) == []


def test_a_batch_whose_rows_were_never_cleared_leaves_a_run_that_is_restored(archive: Path):
    run = ended()
    archived()
    restore_run(run.pk, keep=DAY, now=NOON)
    for note in archive.rglob("cleared.json"):
        note.unlink()
    places._places.clear()

    archived(NOON + timedelta(hours=1))

    assert TaskRun.objects.filter(flow_run=run.pk).count() == 2


def test_a_restored_artifact_was_updated_when_it_was():
    run = ended()
    artifact = make_artifact(None, flow_run_id=run.pk, now=OLD)
    tasks = TaskRun.objects.filter(flow_run=run).order_by("pk")
    before = [fields_of(one) for one in (*FlowRun.objects.filter(pk=run.pk), *tasks, artifact)]
    archived()

    restore_run(run.pk, keep=DAY, now=NOON)

    artifact = Artifact.objects.get(pk=artifact.pk)
    assert [fields_of(one) for one in (*FlowRun.objects.filter(pk=run.pk), *tasks.all(), artifact)] == before


def test_a_run_of_a_day_comes_back_with_the_run_that_it_is_nested_in():
    outer = ended(OLD - 2 * DAY)
    task = TaskRun.objects.filter(flow_run=outer).earliest("pk")
    inner = ended(OLD, parent_task_run_id=task.pk)
    archived()

    restore_day(OLD.date(), keep=DAY, now=NOON)

    assert set(FlowRun.objects.values_list("pk", flat=True)) == {outer.pk, inner.pk}


@pytest.fixture
def results(settings, tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    settings.ORION_RESULTS_FOLDERS = [folder]
    return folder


def with_results(run: FlowRun, folder: Path) -> list[Path]:
    """Files that the last state of a run, and that of a task run of it, name as their results."""
    run.refresh_from_db()
    task = make_task_run("RUNNING", flow_run=run, now=OLD)
    propose_task_run_state(run_id=task.pk, proposed=make_state("COMPLETED"), now=OLD, force=True)
    task.refresh_from_db()
    files = []
    for model, state_id in ((FlowRunState, run.state_id), (TaskRunState, task.state_id)):
        path = folder / uuid4().hex
        data = {"type": "reference", "storage": folder.as_uri(), "storage_key": path.name, "serializer_type": "json"}
        assert model.objects.filter(pk=state_id).update(data=data) == 1
        path.write_text("[1]")
        files.append(path)
    return files


def test_retention_of_restored_runs_keeps_files_that_the_archive_names(
    results: Path, django_capture_on_commit_callbacks
):
    run, other = ended(), ended(NOON - 10 * DAY)
    files, of_other = with_results(run, results), with_results(other, results)
    archived()
    restore_run(run.pk, keep=DAY, now=NOON)

    later = NOON + 2 * DAY
    with django_capture_on_commit_callbacks(execute=True):
        retain(ages=sparing_restored(Ages(runs=DAY, logs=DAY, archived=True), later), now=later)

    assert FlowRun.objects.count() == 0
    assert [file.exists() for file in (*files, *of_other)] == [True, True, False, False]


@pytest.mark.parametrize("ages", [Ages(DAY, DAY, DAY), Ages(logs=DAY)], ids=["everything", "logs"])
def test_deleting_old_runs_by_hand_keeps_restored_runs_for_their_time(ages: Ages):
    run, other = ended(), ended(NOON - 10 * DAY)
    archived()
    restore_run(run.pk, keep=DAY, now=NOON)
    before = everything_of(run)

    purge(ages=sparing_restored(ages, NOON), now=NOON, pause_seconds=0)

    assert everything_of(run) == before
    assert not Log.objects.filter(flow_run_id=other.pk).exists()
