"""Pools of the type kubernetes: attempts as Jobs of a stand-in cluster that really executes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.running import Api, eventually
from tests.containers.cluster import Cluster
from tests.containers.conftest import Pool, StartAgent

pytestmark = pytest.mark.long


def test_a_run_executes_completely_in_a_pod(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    agent = start_kubernetes_agent()

    run = kubernetes_pool.run("doubling", x=4)

    assert api.until_ended(run)["name"] == "Completed", (api.logs(run), agent.output)
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    eventually(lambda: "ended as Completed" in agent.output, lambda: agent.output)
    job = cluster.job_of(run)
    assert job is not None
    assert job["spec"]["ttlSecondsAfterFinished"] == 300


def test_the_job_has_limits_labels_and_its_environment_in_a_secret_of_its_own(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent("--stop-timeout", "7", ORION_TASK_DEFAULT_RETRIES="2", MY_OWN="stays here")
    variables = {
        "memory_limit": "512Mi", "cpu_limit": "500m", "labels": {"team": "ice"}, "env": {"COLOUR": "blue"},
        "image_pull_secrets": [{"name": "registry"}], "node_selector": {"disk": "ssd"}, "timeout_seconds": 100,
        "volumes": [{"name": "cache", "emptyDir": {}}], "volume_mounts": [{"name": "cache", "mountPath": "/cache"}],
    }  # fmt: skip

    run = kubernetes_pool.run("seeing", into=str(tmp_path / "seen"), variables=variables)

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    seen = (tmp_path / "seen").read_text()
    assert {"COLOUR=blue", "ORION_TASK_DEFAULT_RETRIES=2", f"ORION_FLOW_RUN_ID={run}"} <= set(seen.splitlines())
    assert "MY_OWN" not in seen
    job = cluster.job_of(run)
    assert job is not None
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "512Mi"}
    assert "COLOUR" not in str(container)
    assert run not in str(container["command"])
    pod = job["spec"]["template"]["spec"]
    assert (pod["terminationGracePeriodSeconds"], pod["automountServiceAccountToken"]) == (7, False)
    assert job["spec"]["activeDeadlineSeconds"] > 100
    assert job["metadata"]["labels"]["team"] == "ice"
    secret = cluster.objects["secrets"][job["metadata"]["name"]]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert secret["stringData"]["COLOUR"] == "blue"
    assert not cluster.count("GET .*/secrets")


def test_an_agent_that_is_killed_adopts_its_job_and_nothing_runs_twice(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    first = start_kubernetes_agent("--name", "smith")
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("waiting", mark=str(mark), until=str(tmp_path / "until"))
    eventually(mark.exists)

    first.process.kill()
    first.process.wait()
    second = start_kubernetes_agent("--name", "smith")
    (tmp_path / "until").touch()

    assert api.until_ended(run)["name"] == "Completed"
    assert mark.read_text() == "began\nended\n"
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    assert "was started before this agent was restarted" in second.output
    assert len(cluster.objects["jobs"]) == 1


def test_a_run_whose_job_was_created_but_not_started_is_started_by_the_next_agent(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    cluster.fail("POST", "/secrets", 500, "etcd is away", times=99)
    first = start_kubernetes_agent("--name", "smith")
    run = kubernetes_pool.run("doubling")
    eventually(lambda: cluster.job_of(run), lambda: first.output)
    first.process.kill()
    first.process.wait()
    cluster.faults.clear()

    start_kubernetes_agent("--name", "smith")

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert api.history(run).count("Running") == 1
    assert len(cluster.objects["jobs"]) == 1


def test_a_pod_that_ran_out_of_memory_is_the_cause(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent()
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("sleeping", mark=str(mark), variables={"memory_limit": "512Mi"})
    eventually(mark.exists)

    cluster.run_out_of_memory(run)

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "ran out of memory (OOMKilled): it needed more than its memory limit of 512Mi" in ended["message"]


def test_a_pod_that_was_evicted_is_the_cause(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent()
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)

    cluster.evict(run, "The node was low on resource: memory.")

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "its node ran short of resources, or shut down: The node was low on resource: memory." in ended["message"]


def test_a_deleted_pod_is_the_cause_of_the_crash(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent("--stop-timeout", "1")
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("stubborn", mark=str(mark))
    eventually(mark.exists)

    cluster.delete_pod(run)

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "SIGKILL" in ended["message"] or "was deleted" in ended["message"]


STUCK = {
    "nowhere:9": {
        "containerStatuses": [
            {
                "name": "flow",
                "state": {"waiting": {"reason": "ErrImagePull", "message": "nowhere:9: not found"}},
            }
        ]
    },
    "huge:1": {
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient cpu.",
            }
        ]
    },
    "slow:1": {
        "containerStatuses": [
            {"name": "flow", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
        ]
    },
}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("nowhere:9", "Its image cannot be pulled. ErrImagePull: nowhere:9: not found"),
        ("huge:1", "did not start within 5 s. No node takes it (Unschedulable). 0/3 nodes are available"),
        ("slow:1", "did not start within 5 s. Its image cannot be pulled. ImagePullBackOff: Back-off pulling image"),
    ],
)
def test_why_a_pod_does_not_start_is_the_cause(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, image: str, words: str
):
    cluster.stuck |= STUCK
    start_kubernetes_agent()

    run = kubernetes_pool.run(
        "doubling", variables={"image": image, "start_timeout_seconds": 600 if image == "nowhere:9" else 5}
    )

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert words in ended["message"]
    eventually(lambda: not cluster.objects["jobs"] and not cluster.objects["secrets"])


def test_the_cause_of_a_crash_without_a_report_has_the_last_lines_of_the_pod(
    api: Api, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    start_kubernetes_agent()

    run = kubernetes_pool.run("dying", code=3)

    message = api.until_ended(run)["message"]
    assert "exited with code 3" in message
    assert "the last words of a flow" in message


def test_a_cancelled_run_is_asked_to_stop_and_its_job_is_removed(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent()
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not any(cluster.objects.values()), lambda: cluster.objects)


def test_a_pod_that_does_not_end_is_killed_after_its_grace(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent("--stop-timeout", "1")
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("stubborn", mark=str(mark))
    eventually(mark.exists)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not cluster.objects["pods"])


def test_a_run_that_takes_too_long_ends_with_its_limit(
    api: Api, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    start_kubernetes_agent()

    run = kubernetes_pool.run("sleeping", variables={"timeout_seconds": 2})

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "its limit of 2 s (timeout_seconds in its job variables)" in ended["message"]


def test_ends_are_seen_though_watches_are_cut_and_the_cluster_forgot_what_was_seen(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent, tmp_path: Path
):
    start_kubernetes_agent()
    mark = tmp_path / "mark"
    run = kubernetes_pool.run("sleeping", seconds=2, mark=str(mark))
    eventually(mark.exists)
    lists = cluster.count(r"GET .*/pods\?.*limit=")

    cluster.drop_streams()
    cluster.fail("GET", "watch=true", 500, "etcdserver: request timed out", times=3)
    cluster.forget_history()

    assert api.until_ended(run)["name"] == "Completed"
    eventually(lambda: cluster.count(r"GET .*/pods\?.*limit=") > lists)


def test_requests_are_repeated_as_the_cluster_asks_for_it(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    cluster.fail("POST", "/jobs", 429, "too many requests", headers={"Retry-After": "1"}, times=2)
    # The Job is created, and the answer is lost; the second request finds it.
    cluster.fail("POST", "/jobs", 500, "etcdserver: request timed out", answers_only=True)
    cluster.fail("PATCH", "/jobs/", 503, "etcdserver: leader changed")
    start_kubernetes_agent()

    run = kubernetes_pool.run("doubling")

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert len(cluster.objects["jobs"]) == 1
    assert cluster.count("POST .*/jobs$") == 4


def test_rights_that_the_agent_lacks_are_the_cause(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    words = 'secrets is forbidden: User "agent" cannot create resource "secrets"'
    cluster.fail("POST", "/secrets", 403, words, times=99)
    start_kubernetes_agent()

    run = kubernetes_pool.run("doubling")

    assert words in api.until_ended(run)["message"]
    eventually(lambda: not cluster.objects["jobs"])


def test_a_manifest_that_is_wrong_names_the_field(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    start_kubernetes_agent()

    run = kubernetes_pool.run("doubling", variables={"tolerations": [{"operatorr": "Exists"}]})

    message = api.until_ended(run)["message"]
    assert "spec.template.spec.tolerations" in message
    assert "operatorr" in message


def test_another_namespace_than_the_agents_is_refused_with_words(
    api: Api, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    start_kubernetes_agent()

    run = kubernetes_pool.run("doubling", variables={"namespace": "elsewhere"})

    assert "this agent has rights in 'flows' alone" in api.until_ended(run)["message"]


def test_an_unreadable_pod_does_not_hide_the_others(
    api: Api, cluster: Cluster, kubernetes_pool: Pool, start_kubernetes_agent: StartAgent
):
    odd = [{"name": "flow", "state": {"terminated": {"exitCode": "many"}}}]
    cluster.stuck["odd:1"] = {"phase": "Failed", "containerStatuses": odd}
    start_kubernetes_agent()

    runs = [kubernetes_pool.run("doubling", variables={"image": image}) for image in ("odd:1", "flows:1")]

    assert "cannot be read" in api.until_ended(runs[0])["message"]
    assert api.until_ended(runs[1])["name"] == "Completed"
