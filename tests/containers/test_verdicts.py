"""Verdicts on pods and containers, jobs from templates, and what containers are given: pure functions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import kubernetes_validate
import pytest
import yaml

from deployments.work.core.job_variables import misfit
from orionflow.agent.containers.docker_words import ended
from orionflow.agent.containers.manifests import job_manifest, own_labels, secret_manifest
from orionflow.agent.containers.orders import Origin, environment_for
from orionflow.agent.containers.pods import Over, Runs, Waiting, verdict_of
from orionflow.agent.containers.reports import LONGEST_TAIL, shown
from orionflow.agent.containers.templates import NotStarted, filled_in
from orionflow.contract.job_templates import default_job_template
from tests.printed import read_line

ORIGIN = Origin("smith", "boxes", "0123456789abcdef")


def pod(**status: Any) -> dict[str, Any]:
    limits = {"resources": {"limits": {"memory": "1Gi"}}}
    return {"spec": {"containers": [{"name": "flow", **limits}]}, "status": status}


def flow_container(**state: Any) -> list[dict[str, Any]]:
    return [
        {"name": "istio-proxy", "state": {"running": {}}},
        {"name": "flow", "state": state},
    ]


def terminated(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return pod(
        phase="Running",
        containerStatuses=flow_container(terminated={"exitCode": code, "reason": reason, "message": message}),
    )


def disrupted(reason: str, message: str) -> dict[str, Any]:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return pod(phase="Failed", conditions=[condition])


@pytest.mark.parametrize(
    ("seen", "words", "is_fault"),
    [
        (terminated(137, "OOMKilled"), "its memory limit of 1Gi", False),
        (terminated(137), "killed by SIGKILL", False),
        (terminated(1, message="Traceback\nModuleNotFoundError: orionflow"), "ModuleNotFoundError: orionflow", False),
        (terminated(128, "StartError", "exec: no such file"), "could not run: exec: no such file", False),
        (disrupted("PreemptionByScheduler", "Preempted by x"), "preempted for a pod of higher priority", True),
        (disrupted("DeletionByTaintManager", ""), "as when the node is lost", True),
        (disrupted("SomethingNew", "because"), "(SomethingNew): because", True),
        (pod(phase="Failed", reason="Evicted", message="low on memory"), "ran short of resources: low on memory", True),
        (pod(phase="Failed", reason="NodeShutdown"), "its node shut down", True),
        (pod(phase="Failed", reason="DeadlineExceeded"), "activeDeadlineSeconds", False),
        (
            pod(
                phase="Failed",
                initContainerStatuses=[{"name": "git", "state": {"terminated": {"exitCode": 4, "message": "no repo"}}}],
            ),
            "init container 'git' exited with code 4. Its last lines:\nno repo",
            False,
        ),
        (pod(phase="Failed"), "does not say why", False),
    ],
)
def test_an_end_has_its_cause(seen: dict[str, Any], words: str, is_fault: bool):
    verdict = verdict_of(seen)

    assert isinstance(verdict, Over)
    assert words in str(verdict.cause)
    assert verdict.is_fault is is_fault


def test_an_end_that_the_run_reported_needs_no_cause():
    report = {"type": "COMPLETED", "name": "Completed", "message": ""}

    assert verdict_of(terminated(0, "Completed", json.dumps(report))) == Over(0, None, report)


@pytest.mark.parametrize(
    ("seen", "words", "is_final"),
    [
        (pod(phase="Pending"), None, False),
        (pod(containerStatuses=flow_container(waiting={"reason": "ContainerCreating"})), "ContainerCreating", False),
        (
            pod(containerStatuses=flow_container(waiting={"reason": "ImagePullBackOff", "message": "Back-off"})),
            "ImagePullBackOff: Back-off",
            False,
        ),
        (
            pod(containerStatuses=flow_container(waiting={"reason": "ErrImagePull", "message": "denied"})),
            "ErrImagePull: denied",
            True,
        ),
        (
            pod(containerStatuses=flow_container(waiting={"reason": "InvalidImageName", "message": "?"})),
            "InvalidImageName",
            True,
        ),
        (
            pod(
                containerStatuses=flow_container(waiting={"reason": "CreateContainerConfigError", "message": "secret"})
            ),
            "cannot be configured",
            False,
        ),
        (
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]),
            "No node takes it (Unschedulable). 0/3",
            False,
        ),
    ],
)
def test_a_waiting_pod_has_a_reason(seen: dict[str, Any], words: str | None, is_final: bool):
    verdict = verdict_of(seen)

    assert isinstance(verdict, Waiting)
    assert verdict.is_final is is_final
    assert verdict.reason is None if words is None else words in str(verdict.reason)


def test_a_pod_runs_when_the_container_of_the_flow_runs():
    assert verdict_of(pod(phase="Running", containerStatuses=flow_container(running={}))) == Runs()


@pytest.mark.parametrize(
    ("state", "log", "cause"),
    [
        ({"ExitCode": 137, "OOMKilled": True}, "", "more than its limit of 512 MiB"),
        ({"ExitCode": 137}, "", "killed by SIGKILL from outside"),
        ({"ExitCode": 127, "Error": "exec failed"}, "", "could not run: exec failed"),
        ({"ExitCode": 1}, "No module named orionflow", "Its last lines:\nNo module named orionflow"),
        ({"ExitCode": 1}, 'x\norion-report {"error": "ValueError: 3"}', None),
        ({"ExitCode": 1}, "orion-report {broken", "exited with code 1"),
        ({"ExitCode": 0}, "", None),
    ],
)
def test_the_end_of_a_container_has_its_cause(state: dict[str, Any], log: str, cause: str | None):
    how = ended({"State": state, "HostConfig": {"Memory": 512 << 20}}, log)

    assert how is not None
    assert how.cause is None if cause is None else cause in str(how.cause)


@pytest.mark.parametrize(
    "report",
    [
        "[" * 19_000,
        "{" + "x" * 30_000,
        '{"type": ["COMPLETED"]}',
        '{"type": 3, "name": {}}',
        "null",
        '"x"',
        '{"a": 1}',
        "{",
    ],
)
def test_an_invalid_report_is_ignored(report: str):
    of_log = ended({"State": {"ExitCode": 3}}, f"orion-report {report}\nlast words")
    of_pod = verdict_of(terminated(3, message=report))

    assert of_log is not None
    assert "exited with code 3" in str(of_log.cause)
    assert isinstance(of_pod, Over)
    assert "exited with code 3" in str(of_pod.cause)


def test_a_container_that_is_frozen_has_not_ended():
    assert ended({"State": {"Running": False, "Paused": True}}, "") is None


TEMPLATE = {
    "job_configuration": {
        "image": "{{ image }}:{{ tag }}",
        "cpus": "{{ cpus }}",
        "env": "{{ env }}",
        "list": ["{{ x }}"],
    },
    "variables": {
        "properties": {
            "image": {"default": "flows"},
            "tag": {"default": 1},
            "env": {"default": {"A": "pool", "B": "pool"}},
        }
    },
}


def test_a_job_is_its_template_with_defaults_under_variables():
    assert filled_in(TEMPLATE, {"cpus": 2, "env": {"B": "run"}}) == {
        "image": "flows:1", "cpus": 2, "env": {"A": "pool", "B": "run"}, "list": [],
    }  # fmt: skip
    assert "cpus" not in filled_in(TEMPLATE, {})


def test_placeholders_that_only_workers_of_prefect_fill_in_are_named():
    with pytest.raises(NotStarted, match=r"prefect\.variables\.team"):
        filled_in({"job_configuration": {"a": "{{ prefect.variables.team }}"}}, {})


def order(**more: Any) -> dict[str, Any]:
    deployment = {"name": "nightly", "job_variables": {"env": {"A": "1"}}}
    return {
        "flow_run_id": str(uuid4()), "epoch": 3, "name": "calm fox", "flow_name": "etl", "deployment": deployment,
        "api_url": "http://orion/api", "env": {"ORION_API_URL": "http://orion/api", "ORION_API_KEY": "ort_x"},
        "limit": None, "working_dir": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize("version", ["1.28", "1.31", "1.33"])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {
            "memory_limit": "1Gi", "cpu_limit": "2", "service_account_name": "flows", "node_selector": {"a": "b"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}], "image_pull_secrets": [{"name": "registry"}],
            "volumes": [{"name": "x", "emptyDir": {}}], "volume_mounts": [{"name": "x", "mountPath": "/x"}],
            "labels": {"team": "ice"}, "working_dir": "/app", "finished_job_ttl": 0,
        },
    ],
)  # fmt: skip
def test_manifests_fit_the_published_schemas(version: str, variables: dict[str, Any]):
    job = filled_in(default_job_template("kubernetes"), {"image": "flows:1", **variables})
    made = job_manifest(job, name="orion-x-3", namespace="flows", order=order(), origin=ORIGIN, stop_seconds=30)
    secret = secret_manifest({"A": "b"}, name="orion-x-3", namespace="flows", job={"metadata": {"uid": "u"}})

    kubernetes_validate.validate(made, version, strict=True)
    kubernetes_validate.validate(secret, version, strict=True)


def test_a_job_contains_nothing_of_its_attempt():
    job = filled_in(default_job_template("kubernetes"), {"image": "flows:1", "env": {"PASSWORD": "hush"}})

    made = job_manifest(job, name="x", namespace="flows", order=order(), origin=ORIGIN, stop_seconds=30)

    assert "hush" not in str(made)
    assert "ort_" not in str(made)


def test_a_name_that_is_not_a_label_is_a_digest_in_one():
    long = own_labels(Origin("agent of Ada & Bob " * 9, "boxes", "x"))["orion/agent"]

    assert long.startswith("agent-")
    assert len(long) < 64
    assert own_labels(ORIGIN)["orion/agent"] == "smith"


@pytest.mark.parametrize("name", ["A=B", "", "A B", "1A"])
def test_a_variable_that_cannot_be_one_is_named(name: str):
    with pytest.raises(NotStarted, match="env."):
        environment_for(order(), {"env": {name: "x"}}, report="stderr", api_url="http://orion/api")


def test_job_variables_cannot_send_the_token_elsewhere():
    given = environment_for(
        order(), {"env": {"ORION_API_URL": "http://evil/api", "ORION_ATTEMPT": "{}"}}, report="stderr",
        api_url="http://orion/api",
    )  # fmt: skip

    assert given["ORION_API_URL"] == "http://orion/api"
    assert json.loads(given["ORION_ATTEMPT"])["epoch"] == 3
    assert given["ORION_API_KEY"] == "ort_x"


INIT = """
import os, signal, subprocess, sys, time
from orionflow.agent import contained

contained._become_init()
assert os.getpid() != 1
subprocess.Popen(["sleep", "0.1"])
print("ready", flush=True)
time.sleep(float(sys.argv[1]))
os._exit(int(sys.argv[2]))
"""
UNSHARE = [shutil.which("unshare") or "unshare", "--fork", "--pid", "--kill-child"]
can_unshare = shutil.which("unshare") and not subprocess.run([*UNSHARE, "true"], capture_output=True).returncode


@pytest.mark.skipif(not can_unshare, reason="no process namespaces here")
def test_process_1_passes_signals_on_and_ends_as_its_run_ends():
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    quick = subprocess.run([*UNSHARE, sys.executable, "-c", INIT, "0.2", "7"], capture_output=True, timeout=30, env=env)
    slow = subprocess.Popen([*UNSHARE, sys.executable, "-c", INIT, "60", "0"], stdout=subprocess.PIPE, env=env)
    assert read_line(slow.stdout) == "ready\n"
    (init,) = map(int, Path(f"/proc/{slow.pid}/task/{slow.pid}/children").read_text().split())

    os.kill(init, signal.SIGTERM)

    assert quick.returncode == 7
    assert slow.wait(30) == 128 + signal.SIGTERM
    slow.stdout.close()


@pytest.mark.parametrize("number", [0, 1])
def test_the_example_fits_the_usual_templates(number: int):
    path = Path(__file__).parents[2] / "examples" / "containers" / "orion.yaml"
    pool = yaml.safe_load(path.read_text())["deployments"][number]["work_pool"]
    template = default_job_template(["docker", "kubernetes"][number])

    assert misfit(template, pool["job_variables"], complete=True) is None
    assert "memroy" in str(misfit(template, {**pool["job_variables"], "memroy": "1g"}, complete=True))
    assert "image" in str(misfit(template, {}, complete=True))


def test_last_lines_begin_with_a_line():
    secret = "correct-horse-battery-staple"
    lines = [f"password={secret}", "y" * (LONGEST_TAIL - 12), "end"]

    assert "staple" not in shown(lines)
    assert shown(lines).endswith("end")
    assert len(shown(["z" * 9_000])) < LONGEST_TAIL + 50


@pytest.mark.parametrize(
    ("kind", "volume"),
    [
        ("docker", "/:/host"),
        ("docker", "./here:/there"),
        ("docker", "/var/run/docker.sock:/var/run/docker.sock"),
        ("docker", "~/.ssh:/ssh"),
        ("docker", "C:\\\\Users:/c"),
        ("kubernetes", {"name": "v", "secret": {"secretName": "orion"}}),
        ("kubernetes", {"name": "v", "hostPath": {"path": "/"}}),
        ("kubernetes", {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
        ("kubernetes", {"name": "v", "csi": {"driver": "secrets-store.csi.k8s.io"}}),
    ],
)
def test_the_default_template_gives_no_access_to_the_machine_or_to_secrets(kind: str, volume: object):
    template = default_job_template(kind)

    assert "volumes" in str(misfit(template, {"image": "flows:1", "volumes": [volume]}, complete=True))


@pytest.mark.parametrize("mode", ["host", "container:orion-server", "ns:/proc/1/ns/net"])
def test_the_default_template_gives_no_access_to_the_network_of_the_machine(mode: str):
    template = default_job_template("docker")

    for report in ({"network_mode": mode}, {"networks": [mode]}, {"networks": ["shop", mode]}):
        assert "network" in str(misfit(template, {"image": "flows:1", **report}, complete=True))
        assert "network" in str(misfit(template, {"image": "flows:1", **report}, complete=False))
    own = {"image": "flows:1", "networks": ["shop_default", "hosts"], "network_mode": "none"}
    assert misfit(template, own, complete=True) is None


@pytest.mark.parametrize(
    ("kind", "volumes"),
    [
        ("docker", ["census-cache:/cache", "a.b_c:/x/y:ro", "data:/data:ro,z"]),
        ("kubernetes", [{"name": "a", "emptyDir": {}}, {"name": "b", "persistentVolumeClaim": {"claimName": "data"}}]),
    ],
)
def test_the_usual_template_takes_further_volumes(kind: str, volumes: object):
    assert misfit(default_job_template(kind), {"image": "flows:1", "volumes": volumes}, complete=True) is None
