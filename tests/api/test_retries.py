"""Retries from tasks over the API: weighed, begun, refused and listed."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from deployments.models import Deployment
from orionflow.contract.ids import uuid7
from runs.models import BulkAction, BulkRun, FlowRun, RunRetry, TaskRun, TaskRunState
from tests.factories import history_of, make_flow_run, state_of
from tests.recorded_runs import RESULT, call, chain, deployed_run, finish
from tests.services.threads import before_statement

READS_RUN, READS_CALLS = 'INNER JOIN "runs_flow" ', '"refused_at"'


@pytest.fixture
def run(db: None) -> FlowRun:
    """Four calls in a chain, of a run that completed and whose result is stored."""
    run = deployed_run()
    chain(run, "abcd")
    return finish(run, data=RESULT)


def preview(api, run, *wanted, status=200, **body):
    answer = api.send(f"/flow_runs/{run.pk}/retry/preview", {"from_tasks": list(wanted), **body})
    assert answer.status_code == status, answer.json()
    return answer.json()


def retry(api, run, *wanted, status=201, **body):
    answer = api.send(f"/flow_runs/{run.pk}/retry", {"from_tasks": list(wanted), **body})
    assert answer.status_code == status, answer.json()
    return answer.json()


def test_a_preview_lists_what_is_reused_what_runs_again_and_its_durations(api, run):
    found = preview(api, run, "c")

    assert (found["reused"], found["again"], found["causes"]) == (2, 2, {"chosen": 1, "depends": 1})
    assert (found["work_seconds"], found["elapsed_seconds"], found["longest_chain_seconds"]) == (20, 20, 20)
    assert [(one["name"], one["cause"]) for one in found["calls"]] == [("c-0", "chosen"), ("d-0", "depends")]
    assert (found["chosen"], found["refusals"], found["notes"]) == (1, [], [])
    assert state_of(run) == "COMPLETED"


def test_a_result_that_was_not_stored_is_not_counted_on(api, run):
    first = TaskRun.objects.get(flow_run=run, name="a-0")
    TaskRunState.objects.filter(pk=first.state_id).update(data={**RESULT, "unstored": "no room"})

    found = preview(api, run, "d")

    assert ("a-0", "unstored") in {(one["name"], one["cause"]) for one in found["calls"]}


def test_concurrent_runs_count_once_in_the_elapsed_time(api):
    run = deployed_run()
    first = call(run, "a", seconds=10)
    for number in range(3):
        call(run, "part", first, inputs=str(number), start=10, seconds=30)
    finish(run)

    found = preview(api, run, "part")

    assert (found["work_seconds"], found["elapsed_seconds"], found["longest_chain_seconds"]) == (90, 30, 30)


def test_a_completed_run_with_a_stored_result_starts_again(api, run):
    begun = retry(api, run, "c")

    assert (begun["status"], begun["state"]["name"]) == ("ACCEPT", "AwaitingRetry")
    assert begun["state"]["message"] == "Retried from c."
    assert history_of(run)[-2:] == ["Completed", "AwaitingRetry"]
    stored = begun["retry"]
    assert (stored["flow_run_id"], stored["new_run"], stored["attempt"]) == (str(run.pk), False, 2)
    assert (stored["author"], stored["from_tasks"]) == ("local owner", ["c"])
    assert (stored["plan"]["reused"], stored["plan"]["again"], "outcome" in stored) == (2, 2, True)
    assert api.read(f"/flow_runs/{run.pk}").json()["empirical_policy"]["retried_from_task"] is True
    # Only that way: as a whole it does not.
    assert api.read(f"/flow_runs/{run.pk}/retries").json() == [stored]


def test_a_new_run_has_everything_of_the_old_one_and_both_name_each_other(api):
    old = deployed_run(parameters={"day": 1}, tags=["nightly"], job_variables={"env": {"A": "1"}}, retries=2)
    call(old, "a")
    old = finish(old)

    begun = retry(api, old, "a", new_run=True)

    new = api.read(f"/flow_runs/{begun['retry']['flow_run_id']}").json()
    assert (new["parameters"], new["tags"], new["state_name"]) == ({"day": 1}, ["nightly"], "Scheduled")
    assert new["deployment_id"] == str(old.deployment_id)
    assert new["job_variables"] == {"env": {"A": "1"}}
    assert (new["empirical_policy"]["retries"], new["empirical_policy"]["retried_from_task"]) == (2, True)
    assert new["created_by"] == {"id": str(old.pk), "type": "RETRY", "display_value": old.name}
    assert state_of(old) == "COMPLETED"
    for one in (str(old.pk), new["id"]):
        assert [each["source_id"] for each in api.read(f"/flow_runs/{one}/retries").json()] == [str(old.pk)]
    of = {"flow_runs": {"retry_of": {"any_": [str(old.pk)]}}}
    assert [each["id"] for each in api.send("/flow_runs/filter", of).json()] == [new["id"]]
    assert api.send("/flow_runs/count", {"flow_runs": {"retry_of": {"is_null_": True}}}).json() == 1


@pytest.mark.parametrize("new_run", [False, True])
def test_the_same_retry_sent_again_is_done_once(api, run, new_run):
    id = str(uuid7())

    first = retry(api, run, "c", id=id, new_run=new_run)
    second = retry(api, run, "c", id=id, new_run=new_run, status=200)

    assert first["retry"]["id"] == second["retry"]["id"] == id
    assert first["retry"]["flow_run_id"] == second["retry"]["flow_run_id"]
    assert RunRetry.objects.count() == 1
    other = finish(deployed_run())
    assert retry(api, other, "@failed", id=id, status=409)["code"] == "retry_taken"


@pytest.mark.parametrize("new_run", [False, True])
@pytest.mark.parametrize("part", [READS_RUN, READS_CALLS])
def test_a_retry_that_is_sent_again_while_its_calls_are_read_is_done_once(api, run, new_run, part):
    asked = {"id": str(uuid7()), "new_run": new_run}
    repeats = []

    with before_statement(part, lambda: repeats.append(retry(api, run, "c", **asked))):
        overtaken = retry(api, run, "c", status=200, **asked)

    assert overtaken["retry"]["flow_run_id"] == repeats[0]["retry"]["flow_run_id"]
    assert RunRetry.objects.count() == 1


def test_an_unknown_task_is_reported_with_the_existing_ones(api, run):
    answer = preview(api, run, "x", status=422)

    assert answer["detail"].endswith("called no task 'x'; it called 'a', 'b', 'c', 'd'.")
    assert retry(api, run, "x", status=422)["code"] == "no_such_task"
    assert preview(api, run, status=422)["detail"].startswith("from_tasks")


def test_an_unknown_run_is_not_found(api):
    for path in ("retry", "retry/preview"):
        assert api.send(f"/flow_runs/{uuid4()}/{path}", {"from_tasks": ["a"]}).status_code == 404
    assert api.read(f"/flow_runs/{uuid4()}/retries").status_code == 404


def refused(api, run, *wanted, **body):
    """The reason, which preview and command give in the same words."""
    content = preview(api, run, *wanted, **body)["refusals"]
    answer = retry(api, run, *wanted, status=200, **body)
    assert (answer["status"], answer["retry"]) == ("ABORT", None)
    assert content[0] == answer["details"]["reason"]
    return content[0]


def test_an_obstacle_is_reported_in_the_preview_and_by_the_retry(api):
    going_on = deployed_run()
    by_hand = finish(make_flow_run("RUNNING"))
    gone = finish(deployed_run(flow="gone"))
    Deployment.objects.filter(flow__name="gone").delete()
    parent = deployed_run()
    stands_for = call(parent, "child")
    nested = finish(make_flow_run("RUNNING", parent_task_run_id=stands_for.pk))
    good = deployed_run()
    call(good, "a")
    good = finish(good)
    for one in (by_hand, gone, nested):
        call(one, "a")

    assert refused(api, going_on, "a") == "this run has not ended"
    assert "has no deployment" in refused(api, by_hand, "a")
    assert "its deployment was deleted" in refused(api, gone, "a")
    assert "nested in another one" in refused(api, nested, "a")
    assert "none of its task runs failed" in refused(api, good, "@failed")


def test_the_preview_shows_that_the_code_is_new(api):
    run = deployed_run(version="1")
    call(run, "a")
    run = finish(run)
    assert preview(api, run, "a")["notes"] == []

    Deployment.objects.update(version="2")

    assert "at version 2 by now, and this run was of version 1" in preview(api, run, "a")["notes"][0]


def test_a_result_that_expired_runs_again(api):
    run, past = deployed_run(), timezone.now() - timedelta(hours=1)
    first = call(run, "a", cache_key="k", cache_expiration=past)
    call(run, "b", first)
    run = finish(run)

    found = preview(api, run, "b")

    assert (found["reused"], found["causes"]) == (0, {"chosen": 1, "expired": 1})


def test_calls_by_number_before_the_chosen_one_are_reused_and_those_after_it_run_again(api):
    run = deployed_run()
    call(run, "odd", dynamic_key="0")
    call(run, "chosen")
    call(run, "odd", dynamic_key="1")
    run = finish(run)

    found = preview(api, run, "chosen")

    assert (found["reused"], found["reused_by_order"]) == (1, 1)
    assert found["causes"] == {"chosen": 1, "unknown": 1}


def test_the_engine_reads_what_was_set_aside_and_the_calls_of_the_run_that_it_continues(api, run):
    calls = {one["name"]: one for one in api.send("/task_runs/filter", {}).json()}
    begun = retry(api, run, "c", new_run=True)["retry"]
    new = begun["flow_run_id"]

    found = api.send(f"/flow_runs/{new}/recorded").json()

    assert set(found["again"]) == {calls["c-0"]["state_id"], calls["d-0"]["state_id"]}
    assert found["source_id"] == str(run.pk)
    assert {one["id"] for one in found["calls"]} == {one["id"] for one in calls.values()}
    assert found["calls"][0]["state"]["data"] == RESULT
    # A run may read the results of the run that it continues, and of no other run.
    stranger = finish(deployed_run())
    assert api.send(f"/flow_runs/{new}/recorded", {"source_id": str(stranger.pk)}).status_code == 404
    assert api.send(f"/flow_runs/{stranger.pk}/recorded").json()["calls"] == []


def test_a_task_run_that_claims_to_represent_a_foreign_run_shows_nothing_of_it(api):
    stranger = deployed_run()
    call(stranger, "secret")
    finish(stranger)
    run = deployed_run()
    for number in range(3):
        call(run, "named", inputs=str(number), child_flow_run_id=stranger.pk)
    call(run, "itself", child_flow_run_id=run.pk)
    run = finish(run)

    found = preview(api, run, "named-0")

    assert {one["name"] for one in found["calls"]} == {"named-0", "named-1", "named-2", "itself-0"}
    assert found["causes"] == {"chosen": 1, "unknown": 3}
    assert "secret" not in preview(api, run, "secret", status=422)["detail"].partition("it called")[2]


def test_a_nested_run_that_two_task_runs_claim_counts_once(api):
    run = deployed_run()
    first = call(run, "first")
    nested = make_flow_run("RUNNING", parent_task_run_id=first.pk)
    call(nested, "inner")
    finish(nested)
    for name in ("one", "two"):
        call(run, name, first, child_flow_run_id=nested.pk)
    run = finish(run)

    found = preview(api, run, "first")

    assert (found["again"], len([one for one in found["calls"] if one["name"] == "inner-0"])) == (4, 1)


def test_an_attempt_reports_what_it_took_up(api, run):
    retry(api, run, "c")

    outcome = {"attempt": 2, "reused": 2, "again": 2, "new": 1}
    assert api.send(f"/flow_runs/{run.pk}/retries/outcome", outcome).status_code == 204

    assert api.read(f"/flow_runs/{run.pk}/retries").json()[0]["outcome"] == outcome


def test_deleting_a_run_takes_its_retries_along(api, run):
    new = retry(api, run, "c", new_run=True)["retry"]["flow_run_id"]

    assert api.call("DELETE", f"/flow_runs/{new}").status_code == 204

    assert RunRetry.objects.count() == 0


def test_many_runs_are_retried_from_a_task(api):
    runs = {name: deployed_run(name=name) for name in ("with", "without", "good")}
    call(runs["with"], "load", state="FAILED")
    call(runs["without"], "other", state="FAILED")
    call(runs["good"], "load")
    for name, one in runs.items():
        finish(one, "COMPLETED" if name == "good" else "FAILED")

    body = {"action": "retry", "flow_runs": {}, "from_tasks": ["load"]}
    bulk = api.send("/bulk_actions/", body).json()

    assert (bulk["done"], bulk["refused"], bulk["from_tasks"]) == (2, 1, ["load"])
    assert bulk["reasons"] == {"it called no task 'load'": 1}
    assert {name: state_of(one) for name, one in runs.items()} == {
        "with": "SCHEDULED",
        "good": "SCHEDULED",
        "without": "FAILED",
    }
    assert BulkAction.objects.get().from_tasks == ["load"]
    assert set(BulkRun.objects.values_list("outcome", flat=True)) == {"done", "refused"}


def test_many_runs_are_retried_from_what_failed(api):
    failed, good = deployed_run(), deployed_run()
    call(failed, "load", state="FAILED")
    call(good, "load")
    finish(failed, "FAILED")
    finish(good)

    bulk = api.send("/bulk_actions/", {"action": "retry", "flow_runs": {}, "from_tasks": ["@failed"]}).json()

    assert (bulk["done"], bulk["reasons"]) == (1, {"it completed, and none of its task runs failed": 1})


@pytest.mark.django_db(transaction=True)
def test_many_runs_are_retried_from_a_task_without_holding_up_writers_while_their_calls_are_read(api):
    for name in ("one", "two"):
        run = deployed_run(name=name)
        chain(run, "ab")
        finish(run, "FAILED")
    inside = []

    def watch(execute, sql, params, many, context):
        if READS_CALLS in sql:
            inside.append(connection.in_atomic_block)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        bulk = api.send("/bulk_actions/", {"action": "retry", "flow_runs": {}, "from_tasks": ["b"]}).json()

    assert (bulk["done"], inside) == (2, [False, False])


def test_queries_do_not_follow_the_calls(api, counted):
    few, many = deployed_run(), deployed_run()
    chain(few, "ab")
    chain(many, "abcdefgh")
    finish(few)
    finish(many)

    with counted("preview a retry"):
        preview(api, few, "b")
    with counted("preview a retry"):
        preview(api, many, "b")
    with counted("retry from a task"):
        retry(api, many, "b")


def test_states_are_set_aside_and_not_task_runs(api, run):
    """Later attempts reuse a call that has run since."""
    retry(api, run, "c")
    again = set(RunRetry.objects.get().again)

    for one in api.send("/task_runs/filter", {}).json():
        assert (one["state_id"].replace("-", "") in again) is (one["name"] in {"c-0", "d-0"})
