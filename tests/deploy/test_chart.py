"""The Helm chart: rendered by a reader of the language it keeps to, and compared with the schemas of Kubernetes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from orionflow.agent.containers import kubernetes_jobs
from orionflow.cli import main as orion_main
from tests.deploy.chart import Chart
from tests.site.running import environment

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "helm" / "orion"
ALL: dict[str, Any] = {
    "externalUrl": "https://orion.example.org",
    "trustedProxies": "10.0.0.0/8",
    "broker": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "processAgent": {"enabled": True, "keda": {"enabled": True}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls", "annotations": {"a": "b"}},
}
LITTLE: dict[str, Any] = {
    "agent": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "server": {"podDisruptionBudget": {"enabled": False}},
    "processAgent": {"enabled": True},
}
PODS = ("Deployment", "StatefulSet", "Job")


@pytest.fixture(scope="module", params=[{}, ALL, LITTLE], ids=["usual", "all", "little"])
def chart(request: pytest.FixtureRequest) -> Chart:
    return Chart(FOLDER, **request.param)


@pytest.mark.parametrize("version", ["1.28", "1.31", "1.33"])
def test_every_object_fits_the_published_schema(chart: Chart, version: str):
    known = [one for one in chart.objects if one["kind"] != "ScaledObject"]

    for one in known:
        kubernetes_validate.validate(one, version, strict=True)

    assert len(known) >= 5


def test_every_pod_is_restricted(chart: Chart):
    for one in chart.objects:
        if one["kind"] not in PODS:
            continue
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is (one["metadata"]["name"] == "demo-orion-agent")
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["image"] == "orion:0.1.0"
            named = {volume["name"] for volume in pod["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= named


def test_the_home_is_a_folder_of_the_pods_user_in_its_volume(chart: Chart):
    """Every user may write into the volume itself, and the server starts in no such home (`security/test_homes.py`)."""
    for one in chart.objects:
        if one["kind"] in PODS:
            (container,) = one["spec"]["template"]["spec"]["containers"]
            (place,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "home"]
            (home,) = [variable["value"] for variable in container["env"] if variable["name"] == "ORION_HOME"]
            assert Path(place) in Path(home).parents


def test_secrets_come_from_the_secret_and_occur_nowhere_else(chart: Chart):
    for one in chart.objects:
        if one["kind"] in PODS:
            for variable in one["spec"]["template"]["spec"]["containers"][0]["env"]:
                if re.search("KEY|DATABASE|BROKER", variable["name"]):
                    assert variable["valueFrom"]["secretKeyRef"]["name"] == "orion"


def test_every_command_is_one_of_orions(chart: Chart, capsys: pytest.CaptureFixture[str]):
    commands = [
        container["command"]
        for one in chart.objects
        if one["kind"] in PODS
        for container in one["spec"]["template"]["spec"]["containers"]
        if container["command"][0] == "orion"
    ]

    assert commands
    for words in commands:
        assert orion_main([*words[1:], "--help"]) == 0
        shown = capsys.readouterr().out
        assert [word for word in words if word.startswith("--") and word not in shown] == []


def test_selectors_find_their_pods(chart: Chart):
    templates = [one for one in chart.objects if one["kind"] in ("Deployment", "StatefulSet")]

    for one in templates:
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (service,) = [one for one in chart.objects if one["kind"] == "Service"]
    server = chart.one("Deployment", "demo-orion")
    assert service["spec"]["selector"].items() <= server["spec"]["template"]["metadata"]["labels"].items()


def test_every_value_is_used():
    used = set().union(*(Chart(FOLDER, **values).used for values in ({}, ALL, LITTLE)))

    assert {
        path
        for path in leaves(Chart(FOLDER).values)
        if not any(one.startswith(path) or path.startswith(one + ".") for one in used)
    } == set()


def leaves(values: dict[str, Any], before: str = ".Values") -> list[str]:
    found = []
    for name, value in values.items():
        inner = leaves(value, f"{before}.{name}") if isinstance(value, dict) and value else [f"{before}.{name}"]
        found += inner
    return found


def test_the_role_has_the_rights_that_the_agent_documents():
    rules = Chart(FOLDER).one("Role", "demo-orion-agent")["rules"]

    granted = {rule["resources"][0]: set(rule["verbs"]) for rule in rules}
    assert granted == {
        "jobs": {"create", "get", "list", "watch", "patch", "delete"},
        "pods": {"list", "watch", "delete"},
        "secrets": {"create"},
    }
    assert "create Secrets (but not read them)" in str(kubernetes_jobs.__doc__)


@pytest.mark.long
def test_the_first_user_is_created_once(tmp_path: Path):
    (container,) = Chart(FOLDER).one("Job", "demo-orion-upgrade")["spec"]["template"]["spec"]["containers"]
    (tmp_path / "admin-password").write_text("an otter in the river\n")
    script = container["command"][2].replace("/bootstrap", str(tmp_path))
    own = environment(tmp_path / "home")
    own["PATH"] = f"{Path(sys.executable).parent}:{own['PATH']}"

    runs = [subprocess.run(["sh", "-ec", script], env=own, capture_output=True, text=True) for _ in range(2)]

    assert [run.returncode for run in runs] == [0, 0], runs
    assert "admin" in runs[0].stdout
    assert "Created" not in runs[1].stdout


DOCKERFILES = sorted((ROOT / "deploy").glob("**/*Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_keep_to_what_linters_of_them_ask_for(path: Path):
    text = path.read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]

    assert all(":" in line and ":latest" not in line for line in lines if line.startswith("FROM"))
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users[-1] not in ("root", "0")
    for line in lines:
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line
        if "pip install" in line:
            assert all("--no-cache-dir" in one for one in line.split("&&") if "pip install" in one)
    assert not re.search(r"^ADD ", text, re.MULTILINE)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for one in source.split():
            assert one.startswith("dist/") or (ROOT / one).exists(), one
