"""With deleted runs go the files of their results, in the folders that the server knows, and no other file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from orchestration.services import propose_flow_run_state, propose_task_run_state
from orionflow.contract.result_keys import key_of_run
from runs.models import CacheEntry, FlowRun, FlowRunState, TaskRun, TaskRunState
from tests.factories import NOON, make_flow_run, make_state, make_task_run

pytestmark = pytest.mark.django_db
OLD = NOON - timedelta(days=100)


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    known = tmp_path / "results"
    known.mkdir()
    settings.ORION_RESULTS_FOLDERS = [known]
    return known


def ended(run: FlowRun | None = None) -> Any:
    """A flow run that completed long ago, or a task run in one."""
    if run is None:
        made: Any = make_flow_run("RUNNING", now=OLD)
        propose_flow_run_state(run_id=made.pk, proposed=make_state("COMPLETED"), now=OLD)
    else:
        made = make_task_run("RUNNING", flow_run=run, now=OLD)
        propose_task_run_state(run_id=made.pk, proposed=make_state("COMPLETED"), now=OLD, force=True)
    made.refresh_from_db()
    return made


def with_result(run: FlowRun | TaskRun, folder: Path, key: str | None = None, **details: Any) -> Path:
    key = uuid4().hex if key is None else key
    model = FlowRunState if isinstance(run, FlowRun) else TaskRunState
    data = {"type": "reference", "storage": folder.as_uri(), "storage_key": key, "serializer_type": "json"}
    model.objects.filter(pk=run.state_id).update(data=data, details=details)
    path = Path(os.path.normpath(folder / key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[1]")
    return path


def purged(callbacks: Any) -> None:
    with callbacks(execute=True):
        purge(ages=Ages(runs=timedelta(days=90)), now=NOON, pause_seconds=0)


def test_results_go_with_their_runs(folder: Path, django_capture_on_commit_callbacks: Any):
    run = ended()
    files = [with_result(run, folder), with_result(ended(run), folder)]
    kept = with_result(make_flow_run("COMPLETED", now=NOON), folder)

    purged(django_capture_on_commit_callbacks)

    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert [file.exists() for file in (*files, kept)] == [False, False, True]


@pytest.mark.parametrize("archived", [False, True])
def test_a_result_that_stayed_for_a_cache_stays_where_the_archive_may_name_it(
    folder: Path, django_capture_on_commit_callbacks: Any, archived: bool
):
    task_run = ended(ended())
    file = with_result(task_run, folder)
    # As its flow run left it, when the cache still gave it out.
    TaskRun.objects.filter(pk=task_run.pk).update(flow_run=None)

    with django_capture_on_commit_callbacks(execute=True):
        purge(ages=Ages(runs=timedelta(days=90), archived=archived), now=NOON, pause_seconds=0)

    assert not TaskRun.objects.filter(pk=task_run.pk).exists()
    assert file.exists() is archived


def test_a_run_takes_no_result_of_another_run_along(folder: Path, django_capture_on_commit_callbacks: Any):
    young = make_flow_run("COMPLETED", now=NOON)
    of_another = with_result(young, folder, key_of_run(young.pk))
    run = ended()
    with_result(run, folder, of_another.name)
    with_result(ended(run), folder, of_another.name)
    nested = ended()
    own = with_result(nested, folder, key_of_run(nested.pk))

    purged(django_capture_on_commit_callbacks)

    assert not FlowRun.objects.filter(pk=run.pk).exists()
    assert (of_another.exists(), own.exists()) == (True, False)


@pytest.mark.parametrize("content", ["its state is named Cached", "its result names who stored it"])
def test_a_cached_run_takes_no_result_along_that_an_earlier_version_stored(
    folder: Path, django_capture_on_commit_callbacks: Any, content: str
):
    run = ended()
    cached, first = ended(run), make_task_run("COMPLETED", now=NOON)
    shared, own = with_result(cached, folder), ended(run)
    file = with_result(own, folder)
    for one, owner in ((cached, first), (own, own)):
        state = TaskRunState.objects.get(pk=one.state_id)
        if content == "its result names who stored it":
            state.data["cache"] = {"task_run_id": str(owner.pk), "inputs": {}}
        elif one is cached:
            state.name = "Cached"
        state.save(update_fields=["data", "name"])

    purged(django_capture_on_commit_callbacks)

    assert not TaskRun.objects.filter(flow_run=run.pk).exists()
    assert (shared.exists(), file.exists()) == (True, False)


@pytest.mark.parametrize("key", ["chosen.json", "../outside", "a/../../outside", "0" * 31, f"../{'0' * 32}", "A" * 32])
def test_keys_that_are_not_ours_are_left_alone(folder: Path, django_capture_on_commit_callbacks: Any, key: str):
    file = with_result(ended(), folder, key)

    purged(django_capture_on_commit_callbacks)

    assert file.exists()


def test_folders_that_the_server_does_not_know_are_left_alone(
    folder: Path, tmp_path: Path, django_capture_on_commit_callbacks: Any
):
    elsewhere = tmp_path / "elsewhere"
    files = [with_result(ended(), elsewhere)]
    run = ended()
    files.append(with_result(run, elsewhere))
    tricky = f"{folder.as_uri()}/%2e%2e/elsewhere"
    state = FlowRunState.objects.get(pk=run.state_id)
    FlowRunState.objects.filter(pk=run.state_id).update(data={**state.data, "storage": tricky})

    purged(django_capture_on_commit_callbacks)

    assert all(file.exists() for file in files)


def test_a_link_and_a_folder_are_left_alone(folder: Path, tmp_path: Path, django_capture_on_commit_callbacks: Any):
    (tmp_path / "secret").write_text("x")
    link, below = with_result(ended(), folder), with_result(ended(), folder)
    link.unlink()
    link.symlink_to(tmp_path / "secret")
    below.unlink()
    below.mkdir()

    purged(django_capture_on_commit_callbacks)

    assert link.is_symlink()
    assert below.is_dir()
    assert (tmp_path / "secret").exists()


def test_a_result_that_a_cache_gives_out_stays(folder: Path, django_capture_on_commit_callbacks: Any):
    run = ended()
    first = with_result(ended(run), folder, cache_key="shared")
    own = with_result(ended(run), folder, cache_key="nobody has it")
    other = make_task_run("COMPLETED", now=NOON)
    CacheEntry.objects.create(cache_key="shared", task_run_state_id=other.state_id)

    purged(django_capture_on_commit_callbacks)

    assert not TaskRun.objects.filter(flow_run=run.pk).exists()
    assert (first.exists(), own.exists()) == (True, False)


@pytest.mark.parametrize(
    "data", [{"type": "reference"}, {"type": "reference", "storage_key": 3, "storage": []}, [], "x"]
)
def test_results_are_purged_with_any_data_of_clients(folder: Path, django_capture_on_commit_callbacks: Any, data: Any):
    run = ended()
    FlowRunState.objects.filter(pk=run.state_id).update(data=data)

    purged(django_capture_on_commit_callbacks)

    assert not FlowRun.objects.filter(pk=run.pk).exists()
