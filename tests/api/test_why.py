"""GET /flow_runs/{id}/why and /task_runs/{id}/why: every run that does not move can say why."""

from __future__ import annotations

import shlex
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from deployments.models import Deployment, Lease, Worker, WorkPool, WorkQueue
from runs.models import FlowRun
from tests.factories import make_flow, make_flow_run, make_limit, make_state, make_task_run

pytestmark = pytest.mark.django_db


def why(api, run):
    kind = "flow_runs" if isinstance(run, FlowRun) else "task_runs"
    answer = api.read(f"/{kind}/{run.id}/why")
    assert answer.status_code == 200
    return answer.json()


def codes(answer):
    return [reason["code"] for reason in answer["reasons"]]


def soon():
    return timezone.now() + timedelta(hours=1)


def test_a_running_run_moves(api):
    answer = why(api, make_flow_run("RUNNING"))

    assert (answer["moving"], answer["reasons"], answer["kind"]) == (True, [], "flow-run")


@pytest.mark.parametrize("type", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
def test_a_finished_run_waits_for_nothing(api, type):
    answer = why(api, make_flow_run(type))

    assert (answer["moving"], codes(answer)) == (False, ["finished"])


def test_why_of_a_run_scheduled_for_later_names_the_time(api):
    answer = why(api, make_flow_run(make_state("SCHEDULED", scheduled_time=soon())))

    assert codes(answer) == ["scheduled_later"]


def test_why_of_a_run_that_waits_for_a_retry_names_the_time(api):
    run = make_flow_run("RUNNING", retries=1, retry_delay=600)
    api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "FAILED"}})

    answer = why(api, run)

    assert codes(answer) == ["awaiting_retry"]
    assert "Attempt 1 failed" in answer["reasons"][0]["text"]


def test_the_history_shows_the_verdict_of_each_rule(api):
    run = make_flow_run("RUNNING", retries=1)
    api.send(f"/flow_runs/{run.id}/set_state", {"state": {"type": "FAILED", "message": "boom"}})

    last = why(api, run)["history"][-1]

    assert (last["name"], last["verdict"], last["seq"]) == ("AwaitingRetry", "REJECT", 2)
    assert last["trail"][-1]["verdict"] == "reject"
    assert last["trail"][-1]["reason"]


def test_a_task_run_that_waits_for_a_slot_names_who_holds_it(api, counted):
    holder = make_task_run("RUNNING", name="holder")
    make_limit("gpu", 1, taken_by=[holder])
    run = make_task_run("PENDING", tags=["gpu"])
    api.send(f"/task_runs/{run.id}/set_state", {"state": {"type": "RUNNING"}})

    with counted("why a task run waits for a slot"):
        answer = why(api, run)

    reason = next(reason for reason in answer["reasons"] if reason["code"] == "waiting_for_slot")
    assert [one["id"] for one in reason["holders"]] == [str(holder.id)]
    assert answer["refusal"]["verdict"] == "WAIT"
    assert "last_refusal" in codes(answer)


def test_a_limit_of_zero_is_reported(api):
    make_limit("gpu", 0)

    assert "limit_is_zero" in codes(why(api, make_task_run("PENDING", tags=["gpu"])))


def test_why_of_a_task_run_names_a_flow_run_that_is_not_running(api):
    answer = why(api, make_task_run("PENDING", flow_run=make_flow_run("PAUSED")))

    assert "flow_run_not_running" in codes(answer)


def test_a_run_that_must_not_overlap_names_the_other(api):
    flow = make_flow()
    other = make_flow_run("RUNNING", flow=flow, name="other")
    run = make_flow_run("PENDING", flow=flow, overlap="queue")

    reasons = why(api, run)["reasons"]

    overlap = next(reason for reason in reasons if reason["code"] == "overlap")
    assert [one["id"] for one in overlap["holders"]] == [str(other.id)]


def test_why_of_a_paused_run_names_its_timeout_and_how_to_resume(api):
    run = make_flow_run(make_state("PAUSED", pause_timeout=soon()))

    reason = why(api, run)["reasons"][0]

    assert reason["code"] == "paused"
    assert str(run.id) in reason["fix"]


def test_a_cancelling_run_waits_for_its_process(api):
    assert codes(why(api, make_flow_run("CANCELLING"))) == ["cancelling"]


def test_why_of_a_run_without_a_state_is_answered(api):
    assert codes(why(api, make_flow_run(None))) == ["no_state"]


def test_why_of_an_overdue_run_names_the_obstacles_in_its_queue(api):
    pool = WorkPool.objects.create(name="pool", is_paused=True)
    queue = WorkQueue.objects.create(name="default", work_pool=pool)
    flow = make_flow()
    deployment = Deployment.objects.create(
        name="nightly", flow=flow, paused=True, work_queue=queue, entrypoint="a.py:a"
    )
    run = make_flow_run("SCHEDULED", flow=flow, deployment_id=deployment.id, work_queue_id=queue.id)

    answer = codes(why(api, run))

    assert answer == ["due", "pool_paused", "no_agent"]


def deployed(state="SCHEDULED", queue=None, **columns):
    flow = make_flow()
    columns = {"entrypoint": "flows.py:nightly", **columns}
    deployment = Deployment.objects.create(name="nightly", flow=flow, work_queue=queue, **columns)
    return make_flow_run(state, flow=flow, deployment_id=deployment.id, work_queue_id=queue and queue.id)


def make_queue(**columns):
    pool = WorkPool.objects.create(name="pool", concurrency_limit=columns.pop("pool_limit", None))
    return WorkQueue.objects.create(name="q", work_pool=pool, **columns)


def test_a_run_in_a_full_queue_names_who_holds_its_places(api, counted):
    queue = make_queue(concurrency_limit=1, pool_limit=1, last_polled=timezone.now())
    holder = make_flow_run("RUNNING", name="holder", work_queue_id=queue.id)
    run = deployed(queue=queue, concurrency_limit=0)

    with counted("why a run waits in a full queue"):
        answer = why(api, run)

    assert codes(answer) == ["due", "queue_full", "pool_full", "deployment_full"]
    assert [one["id"] for one in answer["reasons"][1]["holders"]] == [str(holder.id)]
    assert "1 of 1 slots" in answer["reasons"][1]["text"]


def test_why_of_a_run_with_a_fair_share_names_the_active_runs_of_its_share(api):
    queue = make_queue(last_polled=timezone.now())
    WorkPool.objects.update(fair_share="tag:team")
    run = deployed(queue=queue, tags=["team:sales"])
    other = deployed("RUNNING", queue=queue, tags=["team:research"])
    assert codes(why(api, run)) == ["due"]

    FlowRun.objects.filter(pk=other.pk).update(deployment_id=run.deployment_id)

    (_, answer) = why(api, run)["reasons"]
    assert answer["code"] == "fair_share"
    assert "by tag:team, and its share 'team:sales' has 1 run under way" in answer["text"]


@pytest.mark.parametrize("generations", [1, 2])
def test_why_of_a_run_names_a_caller_that_holds_the_slot_it_waits_for(api, generations):
    queue = make_queue(concurrency_limit=1, last_polled=timezone.now())
    caller = make_flow_run("RUNNING", name="caller", work_queue_id=queue.id)
    nearest = caller
    for _ in range(generations - 1):
        task = make_task_run(flow_run=nearest)
        nearest = make_flow_run("RUNNING", parent_task_run_id=task.pk)
    run = deployed(queue=queue)
    FlowRun.objects.filter(pk=run.pk).update(parent_task_run=make_task_run(flow_run=nearest))

    answer = why(api, run)

    assert codes(answer) == ["due", "queue_full", "caller_holds_place"]
    reason = answer["reasons"][2]
    assert "'caller'" in reason["text"]
    assert "'q'" in reason["text"]
    assert [one["id"] for one in reason["holders"]] == [str(caller.id)]


def test_a_queue_is_served_by_an_agent_that_has_it_among_its_own_even_if_it_never_asked(api):
    queue = make_queue()
    run = deployed(queue=queue)
    unserved = codes(why(api, run))
    alive = {"offline_at": soon(), "queue_ids": [str(queue.id)]}
    Worker.objects.create(name="a1", work_pool=queue.work_pool, **alive)

    assert unserved == ["due", "no_agent"]
    assert codes(why(api, run)) == ["due"]


def test_names_do_nothing_to_the_shell_that_a_way_out_is_pasted_into(api):
    queue = make_queue()
    WorkPool.objects.filter(pk=queue.work_pool_id).update(name="gpu box;reboot", fair_share="deployment")
    WorkQueue.objects.filter(pk=queue.pk).update(name="$(reboot)")
    run = deployed(queue=queue)
    make_flow_run("RUNNING", deployment_id=run.deployment_id, work_queue_id=queue.pk)

    fixes = [one["fix"] or "" for one in why(api, run)["reasons"]]

    commands = [shlex.split(one.partition("orion ")[2]) for one in fixes if "orion " in one]
    assert ["agent", "start", "--pool", "gpu box;reboot", "-q", "$(reboot)"] in commands
    assert ["work-pool", "clear-fair-share", "gpu box;reboot"] in commands


def test_the_way_to_serve_a_queue_names_its_pool_unless_it_is_the_default_one(api):
    queue = make_queue()
    run = deployed(queue=queue)
    elsewhere = why(api, run)["reasons"][1]["fix"]
    WorkPool.objects.filter(pk=queue.work_pool_id).update(name=WorkPool.DEFAULT_NAME)

    assert elsewhere.endswith("orion agent start --pool pool -q q")
    assert "no worker asks it for work" in why(api, run)["reasons"][1]["text"]
    assert why(api, run)["reasons"][1]["fix"].endswith("orion agent start -q q")


def test_why_of_a_run_that_agents_cannot_start_names_its_workers(api):
    queue = make_queue()
    run = deployed(queue=queue, entrypoint=None)

    assert codes(why(api, run)) == ["due", "no_agent", "not_for_agents"]


def test_a_run_without_queue_waits_for_the_process_that_serves_it(api):
    served, unserved = deployed(last_polled=timezone.now()), deployed()

    assert codes(why(api, served)) == ["due"]
    assert codes(why(api, unserved)) == ["due", "no_queue"]


@pytest.mark.parametrize(("seconds", "code"), [(60, "claimed"), (-5, "agent_silent")])
def test_why_of_a_claimed_run_names_its_agent_and_its_last_heartbeat(api, seconds, code):
    queue = make_queue()
    run = deployed("PENDING", queue=queue)
    agent = Worker.objects.create(name="a1", work_pool=queue.work_pool, last_heartbeat=timezone.now())
    expires = timezone.now() + timedelta(seconds=seconds)
    Lease.objects.create(flow_run=run, worker=agent, epoch=1, expires_at=expires)

    (reason,) = [reason for reason in why(api, run)["reasons"] if reason["code"] == code]

    assert "'a1'" in reason["text"]


def test_only_runs_of_the_same_deployment_overlap_where_that_is_the_scope(api):
    flow = make_flow()
    mine, other = (Deployment.objects.create(name=name, flow=flow) for name in ("mine", "other"))
    policy = {"overlap": "queue", "overlap_scope": "deployment"}
    make_flow_run("RUNNING", flow=flow, deployment_id=other.id)
    run = make_flow_run("PENDING", flow=flow, deployment_id=mine.id, empirical_policy=policy)

    alone = codes(why(api, run))
    make_flow_run("RUNNING", flow=flow, deployment_id=mine.id)

    assert "overlap" not in alone
    assert "overlap" in codes(why(api, run))


def test_a_missing_run_cannot_be_explained(api):
    assert api.read(f"/flow_runs/{uuid4()}/why").json() == {"detail": "Flow run not found"}
    assert api.read(f"/task_runs/{uuid4()}/why").json() == {"detail": "Task run not found"}
