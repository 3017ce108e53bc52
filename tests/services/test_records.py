"""Records of runs: logs, artifacts, inputs; and of people: searches and limits."""

from __future__ import annotations

from uuid import uuid4

import pytest

from deployments.errors import ConcurrencyLimitNotFound
from deployments.limits.services.limits import delete_limit, delete_limit_by_id, reset_limit, set_limit
from deployments.models import ConcurrencyLimit, Slot
from orchestration.core.states import running
from orchestration.core.verdicts import Accept
from orchestration.errors import FlowRunNotFound
from orchestration.services import propose_task_run_state
from runs.artifacts.services import NewArtifact, create_artifact, delete_artifact, update_artifact
from runs.errors import ArtifactNotFound, FlowRunInputNotFound, InputExists, SavedSearchNotFound
from runs.inputs.services import create_flow_run_input, delete_flow_run_input
from runs.logs.services import MAX_MESSAGE_BYTES, NewLog, cut, record_logs
from runs.models import Artifact, ArtifactCollection, Log, SavedSearch
from runs.saved_searches.services import delete_saved_search, save_search
from tests.factories import NOON, later, make_artifact, make_flow_run, make_limit, make_task_run

pytestmark = pytest.mark.django_db


def test_log_lines_are_stored_with_what_they_belong_to():
    flow_run_id, task_run_id = uuid4(), uuid4()

    record_logs(lines=[NewLog("orion", 20, "tab\there \\ “quoted” 🐳", NOON, flow_run_id, task_run_id)], now=later(1))

    log = Log.objects.get()
    assert (log.message, log.level, log.timestamp, log.created) == ("tab\there \\ “quoted” 🐳", 20, NOON, later(1))
    assert (log.flow_run_id, log.task_run_id) == (flow_run_id, task_run_id)


def test_many_lines_cost_one_insert(django_assert_num_queries):
    lines = [NewLog("orion", 20, f"line {n}", NOON) for n in range(500)]

    with django_assert_num_queries(3):
        record_logs(lines=lines, now=NOON)

    assert Log.objects.count() == 500


def test_a_message_that_is_too_long_is_cut_between_characters_with_a_note():
    message = cut("ü" * MAX_MESSAGE_BYTES)

    assert message.startswith("ü" * (MAX_MESSAGE_BYTES // 2) + "… [cut: ")
    assert cut("ü" * (MAX_MESSAGE_BYTES // 2)) == "ü" * (MAX_MESSAGE_BYTES // 2)


def test_the_collection_of_a_key_points_at_its_newest_artifact():
    make_artifact("report")

    newest = make_artifact("report", now=later(1))

    assert ArtifactCollection.objects.get(key="report").latest_id == newest.pk


def test_an_artifact_without_a_key_is_in_no_collection():
    make_artifact(None)

    assert not ArtifactCollection.objects.exists()


def test_the_collection_falls_back_to_the_artifact_before_and_goes_with_the_last():
    older, newest = make_artifact("report"), make_artifact("report", now=later(1))

    delete_artifact(artifact_id=newest.pk)
    fallen_back = ArtifactCollection.objects.get(key="report").latest_id
    delete_artifact(artifact_id=older.pk)

    assert fallen_back == older.pk
    assert not ArtifactCollection.objects.exists()


def test_metadata_is_cut_and_data_is_replaced():
    artifact = create_artifact(new=NewArtifact(metadata_={"note": "x" * 600}), now=NOON)

    update_artifact(artifact_id=artifact.pk, changes={"data": [1]}, now=later(1))

    artifact = Artifact.objects.get()
    assert (len(artifact.metadata["note"]), artifact.data) == (500, [1])


def test_a_search_is_kept_under_its_name_in_place_of_an_older_one():
    first, made = save_search(name="mine", filters=[{"property": "state"}], now=NOON)

    second, made_again = save_search(name="mine", filters=[], now=later(1))

    assert (made, made_again, second.pk) == (True, False, first.pk)
    assert SavedSearch.objects.get().filters == []


def test_an_input_is_given_once_and_can_be_deleted():
    run = make_flow_run("RUNNING")
    create_flow_run_input(flow_run_id=run.pk, key="k", value="1", sender=None, now=NOON)

    with pytest.raises(InputExists):
        create_flow_run_input(flow_run_id=run.pk, key="k", value="2", sender=None, now=NOON)
    delete_flow_run_input(flow_run_id=run.pk, key="k")

    assert not run.inputs.exists()


def test_a_limit_is_created_and_changed_by_its_tag():
    first, made = set_limit(tag="gpu", slots=1, now=NOON)

    second, made_again = set_limit(tag="gpu", slots=5, now=later(1))

    assert (made, made_again, second.pk) == (True, False, first.pk)
    assert ConcurrencyLimit.objects.get().concurrency_limit == 5


def test_lowering_a_limit_evicts_no_run():
    holders = [make_task_run("RUNNING", tags=["gpu"]) for _ in range(2)]
    make_limit("gpu", 2, taken_by=holders)

    set_limit(tag="gpu", slots=1, now=NOON)

    assert Slot.objects.count() == 2


def test_a_reset_frees_the_slots_and_gives_them_to_whom_it_names():
    nobody = uuid4()
    old, new = make_task_run("RUNNING", tags=["gpu"]), make_task_run("RUNNING", tags=["gpu"])
    make_limit("gpu", 1, taken_by=[old])

    reset_limit(tag="gpu", held_by=[new.pk, nobody], now=NOON)

    # Unknown ids are stored as well, as on Prefect's server.
    assert set(Slot.objects.values_list("task_run_id", flat=True)) == {new.pk, nobody}


def test_a_tag_without_a_limit_does_not_block_runs():
    limit = make_limit("gpu", 0)
    make_limit("cpu", 0)
    waiting = make_task_run("PENDING", tags=["gpu", "cpu"])

    delete_limit(tag="cpu")
    delete_limit_by_id(limit_id=limit.pk)

    outcome = propose_task_run_state(run_id=waiting.pk, proposed=running(), now=later(1))
    assert isinstance(outcome.verdict, Accept)


def test_missing_objects_are_named():
    missing = uuid4()

    for error, attempt in (
        (ArtifactNotFound, lambda: update_artifact(artifact_id=missing, changes={"data": 1}, now=NOON)),
        (ArtifactNotFound, lambda: delete_artifact(artifact_id=missing)),
        (SavedSearchNotFound, lambda: delete_saved_search(search_id=missing)),
        (FlowRunNotFound, lambda: create_flow_run_input(flow_run_id=missing, key="k", value="", sender=None, now=NOON)),
        (FlowRunInputNotFound, lambda: delete_flow_run_input(flow_run_id=missing, key="k")),
        (ConcurrencyLimitNotFound, lambda: delete_limit(tag=str(missing))),
        (ConcurrencyLimitNotFound, lambda: delete_limit_by_id(limit_id=missing)),
        (ConcurrencyLimitNotFound, lambda: reset_limit(tag=str(missing), now=NOON)),
    ):
        with pytest.raises(error, match=str(missing)):
            attempt()
