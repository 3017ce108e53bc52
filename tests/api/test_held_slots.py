"""Slots with a holder: leased, renewed, returned, and released when the attempt of the holder ends."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.limits.services.held_slots import sweep_leases
from deployments.models import GlobalLimit, GlobalSlot, WorkQueue
from orion_site.services.registry import service_named
from runs.models import FlowRun, TaskRun
from tests.conftest import DATABASE
from tests.factories import make_flow_run, make_limit, make_state, make_task_run

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]
ROOT = "/v2/concurrency_limits"


@pytest.fixture(autouse=True)
def limit(db):
    return GlobalLimit.objects.create(name="db", limit=1)


def take(api, run=None, **fields):
    holder = {"flow_run_id": str(run.pk)} if run else {}
    asked = {"names": ["db"], "slots": 1, "holder": {**holder, **fields.pop("holder", {})}, **fields}
    return api.send(f"{ROOT}/increment", asked)


def lease_of(answer):
    return answer.json()[0]["lease_id"]


def in_use(api):
    return api.read(f"{ROOT}/db").json()["active_slots"]


def run_out():
    GlobalSlot.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def test_a_holder_is_given_a_lease_and_named(api):
    run = make_flow_run("RUNNING", name="census")
    task = make_task_run("RUNNING", flow_run=run, name="load")

    taken = take(api, run, holder={"task_run_id": str(task.pk)}, seconds=30)

    holding = api.read(f"{ROOT}/db/holders").json()
    (holder,) = holding["holders"]
    assert (taken.status_code, in_use(api), holding["limit"], holding["taken"]) == (200, 1, 1, 1)
    assert (holder["kind"], holder["name"], holder["flow_run_id"]) == ("task-run", "load", str(run.pk))
    assert (holder["lease_id"], holder["until"]) == (lease_of(taken), taken.json()[0]["expires_at"])
    assert take(api, run).status_code == 423
    assert api.send(f"{ROOT}/increment", {"names": ["db"], "slots": 1}).status_code == 423


def test_a_lease_is_returned_and_others_learn_how_long_it_was_held(api):
    lease = lease_of(take(api))
    GlobalSlot.objects.update(taken_at=timezone.now() - timedelta(seconds=42))

    released = api.send(f"{ROOT}/release", {"lease_ids": [lease]})

    assert [limit["name"] for limit in released.json()] == ["db"]
    assert in_use(api) == 0
    assert GlobalLimit.objects.get().avg_slot_occupancy_seconds == pytest.approx(22, abs=1)
    assert api.send(f"{ROOT}/release", {"lease_ids": [lease]}).json() == []


def test_a_lease_that_is_renewed_lasts_longer(api):
    taken = take(api, seconds=10)

    renewed = api.send(f"{ROOT}/renew", {"lease_ids": [lease_of(taken)], "seconds": 600})

    assert renewed.status_code == 204
    assert GlobalSlot.objects.get().expires_at > timezone.now() + timedelta(seconds=500)


def test_a_lease_that_ran_out_counts_no_longer_and_cannot_be_renewed(api):
    lease = lease_of(take(api))
    run_out()

    assert in_use(api) == 0
    assert take(api).status_code == 200
    refused = api.send(f"{ROOT}/renew", {"lease_ids": [lease]})
    assert refused.status_code == 409
    assert "Take new slots" in refused.json()["detail"]


@pytest.mark.parametrize("end", ["a final state", "a new attempt"])
def test_slots_go_in_the_moment_in_which_their_attempt_ends(api, end):
    run = make_flow_run("RUNNING")
    lease = lease_of(take(api, run))
    if end == "a final state":
        api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "CRASHED"}})
    else:
        FlowRun.objects.update(epoch=1)

    assert in_use(api) == 0
    assert api.read(f"{ROOT}/db/holders").json()["holders"] == []
    assert api.send(f"{ROOT}/renew", {"lease_ids": [lease]}).status_code == 409
    assert sweep_leases(timezone.now()) == 1
    assert not GlobalSlot.objects.exists()


def test_a_slot_that_was_given_on_does_not_come_back_with_a_rerun(api):
    run, other = make_flow_run("RUNNING"), make_flow_run("RUNNING")
    take(api, run)
    api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "FAILED"}})
    take(api, other)

    api.send(f"/flow_runs/{run.pk}/set_state", {"state": {"type": "RUNNING"}})

    assert in_use(api) == 1


def test_the_sweep_leaves_what_is_held(api):
    take(api, make_flow_run("RUNNING"))

    assert sweep_leases(timezone.now()) == 0


def test_a_repeated_request_takes_nothing_twice(api):
    mine = {"id": str(uuid4())}

    first, second = take(api, holder=mine), take(api, holder=mine)

    assert first.json() == second.json()
    assert in_use(api) == 1


def test_an_earlier_attempt_and_an_unknown_run_get_no_slots(api):
    run = make_flow_run("RUNNING")
    FlowRun.objects.update(epoch=2)

    lost = take(api, run, holder={"epoch": 1})
    missing = take(api, holder={"flow_run_id": str(uuid4())})

    assert (lost.status_code, lost.json()["code"]) == (409, "run_lost")
    assert missing.status_code == 409
    assert in_use(api) == 0


def test_rates_and_unlimited_names_need_no_lease(api):
    GlobalLimit.objects.create(name="rate", limit=2, slot_decay_per_second=0.001)

    rate = take(api, names=["rate"])
    new = take(api, names=["new"])

    assert "lease_id" not in rate.json()[0]
    assert "lease_id" not in new.json()[0]
    assert api.read(f"{ROOT}/rate").json()["active_slots"] == 1
    assert not GlobalSlot.objects.exists()


def test_takers_without_and_with_a_name_share_a_limit(api, limit):
    GlobalLimit.objects.update(limit=2)
    api.send(f"{ROOT}/increment", {"names": ["db"], "slots": 1})
    take(api)

    assert in_use(api) == 2
    assert api.read(f"{ROOT}/{limit.pk}/holders").json()["taken"] == 2
    assert take(api).status_code == 423
    assert api.read(f"{ROOT}/none/holders").status_code == 404


# --- tags and queues ---------------------------------------------------------------------------------------------


def test_a_tag_shows_holders_and_waiting_runs(api):
    holder = make_task_run("RUNNING", name="holder", tags=["gpu"])
    make_limit("gpu", 1, taken_by=[holder])
    waiter = make_task_run("PENDING", name="waiter", tags=["gpu"])
    api.send(f"/task_runs/{waiter.pk}/set_state", {"state": {"type": "RUNNING"}})
    make_task_run("PENDING", tags=["gpu"])

    holding = api.read("/concurrency_limits/tag/gpu/holders").json()

    assert [one["name"] for one in holding["holders"]] == ["holder"]
    assert [one["name"] for one in holding["waiters"]] == ["waiter"]
    assert (holding["limit"], holding["taken"]) == (1, 1)
    assert api.read("/concurrency_limits/tag/none/holders").status_code == 404


TAGS = [
    "a",
    "A",
    "a' b",
    "b' of tag 'a",
    "b slots of tag 'a",
    "x.y",
    "xzy",
    "{tag} [0-9]+ 100% \\d",
    "größe",
    "名前 🌍",
]


def test_a_tag_has_no_waiters_of_tags_that_read_alike(api):
    for tag in TAGS:
        make_limit(tag, 1, taken_by=[make_task_run("RUNNING", tags=[tag])])
        waiter = make_task_run("PENDING", name=f"waits for {tag}", tags=[tag])
        api.send(f"/task_runs/{waiter.pk}/set_state", {"state": {"type": "RUNNING"}})

    found = {tag: api.read(f"/concurrency_limits/tag/{quote(tag)}/holders").json()["waiters"] for tag in TAGS}

    assert {tag: [one["name"] for one in waiters] for tag, waiters in found.items()} == {
        tag: [f"waits for {tag}"] for tag in TAGS
    }


def test_runs_wait_for_a_tag_in_the_words_that_are_stored(api):
    make_limit("gpu", 2)
    waiter = make_task_run("PENDING", name="waiter", tags=["gpu"])
    refusal = {"verdict": "WAIT", "reason": "12 of 2 slots of tag 'gpu' are taken"}
    TaskRun.objects.filter(pk=waiter.pk).update(refusal=refusal)

    holding = api.read("/concurrency_limits/tag/gpu/holders").json()

    assert [one["name"] for one in holding["waiters"]] == ["waiter"]


def test_one_slot_of_a_tag_is_taken_from_its_holder(api):
    first, second = make_task_run("RUNNING", tags=["gpu"]), make_task_run("RUNNING", tags=["gpu"])
    make_limit("gpu", 2, taken_by=[first, second])
    path = "/concurrency_limits/tag/gpu/release"

    assert api.send(path, {"task_run_id": str(first.pk)}).status_code == 204

    assert api.read("/concurrency_limits/tag/gpu").json()["active_slots"] == [str(second.pk)]
    assert api.send(path, {"task_run_id": str(first.pk)}).status_code == 404
    assert api.send("/concurrency_limits/tag/none/release", {"task_run_id": str(first.pk)}).status_code == 404


def test_a_queue_shows_holders_and_waiting_runs(api):
    queue = WorkQueue.objects.create(name="q", concurrency_limit=1)
    make_flow_run("RUNNING", name="holder", work_queue_id=queue.pk)
    due = make_state("SCHEDULED", scheduled_time=timezone.now())
    later = make_state("SCHEDULED", scheduled_time=timezone.now() + timedelta(hours=1))
    make_flow_run(due, name="due", work_queue_id=queue.pk)
    make_flow_run(later, name="later", work_queue_id=queue.pk)

    holding = api.read(f"/work_queues/{queue.pk}/holders").json()

    assert [one["name"] for one in holding["holders"]] == ["holder"]
    assert [one["name"] for one in holding["waiters"]] == ["due"]
    assert api.read(f"/work_queues/{uuid4()}/holders").status_code == 404


@pytest.mark.parametrize(("state", "left"), [("RUNNING", "CRASHED"), ("CANCELLING", "CANCELLED"), ("FAILED", "FAILED")])
def test_the_slots_of_a_run_are_taken_by_ending_its_attempt(api, state, left):
    queue = WorkQueue.objects.create(name="q", concurrency_limit=1)
    run = make_flow_run(state, work_queue_id=queue.pk)
    late = {"state": {"type": "COMPLETED"}}

    released = api.send(f"/flow_runs/{run.pk}/release", {"message": "the machine is gone"})

    assert (released.status_code, released.json()["state"]["type"]) == (200, left)
    assert api.read(f"/work_queues/{queue.pk}/holders").json()["holders"] == []
    if left != state:
        sent = api.send(f"/flow_runs/{run.pk}/set_state", late, **{"Orion-Run-Epoch": "0"})
        assert sent.status_code == 409
    assert api.send(f"/flow_runs/{uuid4()}/release").status_code == 404


@pytest.mark.skipif(DATABASE == "sqlite", reason="The users of a SQLite file share one clock.")
@pytest.mark.parametrize("hours", [-2, 2])
def test_servers_whose_clocks_differ_agree_on_who_holds_a_slot(api, monkeypatch, hours):
    lease = lease_of(take(api, seconds=60))
    wrong = timezone.now() + timedelta(hours=hours)

    monkeypatch.setattr(timezone, "now", lambda: wrong)
    service_named("slot clean-up").tick(wrong)

    assert in_use(api) == 1
    assert take(api).status_code == 423
    assert api.send(f"{ROOT}/renew", {"lease_ids": [lease], "seconds": 60}).status_code < 300
    monkeypatch.undo()
    run_out()
    assert in_use(api) == 0
