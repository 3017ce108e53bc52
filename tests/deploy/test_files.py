"""The files for operators: parsed, linted by the programs that read them, and tried where that is possible here."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from orionflow.cli import main

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DOCUMENTED = (ROOT / "docs" / "server.md").read_text() + (ROOT / "docs" / "settings.md").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    return loaded


def orion_commands() -> Iterator[list[str]]:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    for service in services.values():
        if (command := service.get("command", []))[:1] == ["orion"]:
            yield command[1:]
    for unit in UNITS:
        for line in re.findall(r"^ExecStart(?:Pre)?=/opt/orion/bin/orion (.*)$", unit.read_text(), re.MULTILINE):
            yield line.replace("%i", "default").split()


@pytest.mark.parametrize("words", [pytest.param(words, id=" ".join(words)) for words in orion_commands()])
def test_commands_and_options_exist(words: list[str], capsys: pytest.CaptureFixture[str]):
    code = main([*words, "--help"])

    assert code == 0, capsys.readouterr().err


def test_compose_names_only_what_it_has(compose: dict[str, Any]):
    services = compose["services"]

    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert {mount.split(":")[0] for mount in service.get("volumes", [])} <= {*compose["volumes"], "./nginx.conf"}
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        if (mode := service.get("network_mode")) is not None:
            assert mode.removeprefix("service:") in services


def test_compose_keeps_secrets_out_of_the_file(compose: dict[str, Any]):
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "KEY" in name:
                assert value.startswith("${"), name


def test_every_variable_is_documented():
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"\bORION_[A-Z_]+\b", text)}

    # These two are of the compose file itself.
    assert {name for name in named - {"ORION_USER", "ORION_PASSWORD"} if name not in DOCUMENTED} == set()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_valid(unit: Path, tmp_path: Path):
    # The program that they start is not installed at its place here.
    copy = tmp_path / unit.name.replace("@.", "@default.")
    copy.write_text(unit.read_text().replace("/opt/orion/bin/orion", sys.executable))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )

    complaints = [line for line in checked.stderr.splitlines() if unit.stem.rstrip("@") in line]
    assert complaints == []


class Behind:
    """Orion behind nginx, as the configuration has it, on ports of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"http://127.0.0.1:{_free_port()}"
        self.secure_address = f"https://127.0.0.1:{_free_port()}"
        self.certificate = _certificate(folder)
        self._folder = folder
        self._server_port = _free_port()
        conf = self._write_configuration()
        subprocess.run(["nginx", "-t", "-c", str(conf)], capture_output=True, timeout=30, check=True)
        command = [sys.executable, "-m", "orionflow.cli", "server", "start", "--port", str(self._server_port)]
        self.processes = [
            subprocess.Popen(["nginx", "-c", str(conf)], stderr=subprocess.DEVNULL),
            subprocess.Popen(
                [*command, "--base-path", "/orion", "--no-services", "--no-agent"],
                env={**_own_environment(), "ORION_HOME": str(folder / "home"), "ORION_ALLOWED_HOSTS": "127.0.0.1"},
                stderr=subprocess.DEVNULL,
            ),
        ]

    def _write_configuration(self) -> Path:
        folder = self._folder
        # somebody:secret
        (folder / "htpasswd").write_text("somebody:{PLAIN}secret\n")
        included = (DEPLOY / "nginx" / "orion.conf").read_text()
        included = included.replace("/etc/nginx/orion.htpasswd", str(folder / "htpasswd"))
        (folder / "orion.conf").write_text(included.replace("127.0.0.1:4200", f"127.0.0.1:{self._server_port}"))
        conf = folder / "nginx.conf"
        conf.write_text(
            f"{_as_whoever_runs_this()} daemon off; worker_processes 1; pid {folder}/nginx.pid;\n"
            f"error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n"
            f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
            f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"server {{ listen {self.address.removeprefix('http://')}; include {folder}/orion.conf; }}\n"
            f"server {{ listen {self.secure_address.removeprefix('https://')} ssl; include {folder}/orion.conf;\n"
            f"ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate}; }} }}\n"
        )
        return conf

    def get(self, path: str, *, password: str | None = "secret") -> tuple[int, str]:
        request = Request(self.address + path)
        if password:
            request.add_header("Authorization", "Basic " + b64encode(f"somebody:{password}".encode()).decode())
        try:
            with urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if self.get("/orion/api/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError((self._folder / "error.log").read_text())

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=20)


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, as one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


def _as_whoever_runs_this() -> str:
    """Root's nginx would give up its rights, and with them the test's folder."""
    return "user root;" if os.geteuid() == 0 else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    folder = tmp_path_factory.mktemp("nginx")
    running = Behind(folder)
    try:
        running.wait()
        yield running
    finally:
        running.close()


def test_nginx_asks_for_the_password(behind: Behind):
    assert behind.get("/orion/runs", password=None)[0] == 401
    assert behind.get("/orion/runs", password="wrong")[0] == 401


def test_pages_below_the_path_link_below_the_path(behind: Behind):
    status, page = behind.get("/orion/runs")

    assert status == 200
    assert 'href="/orion/' in page
    assert 'href="/flows' not in page


def test_admin_is_not_open_to_who_comes_through_the_proxy(behind: Behind):
    _, page = behind.get("/orion/admin/")

    assert "Site administration" not in page


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_forms_work_through_the_proxy(behind: Behind, scheme: str):
    site = behind.secure_address if scheme == "https" else behind.address
    with requests.Session() as browser:
        # Or a bundle of the environment would count more than the certificate.
        browser.trust_env = False
        browser.auth, browser.verify = ("somebody", "secret"), str(behind.certificate)
        flow = browser.post(f"{site}/orion/api/flows/", json={"name": "waiting"}).json()
        scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
        run = browser.post(f"{site}/orion/api/flow_runs/", json={"flow_id": flow["id"], "state": scheduled}).json()
        page = browser.get(f"{site}/orion/runs/{run['id']}")
        action = re.search(r'action="(/orion/[^"]*cancel)"', page.text)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert action is not None
        assert token is not None

        said = {"Origin": site, "Referer": page.url, "Sec-Fetch-Site": "same-origin"}
        answer = browser.post(f"{site}{action[1]}", data={"csrfmiddlewaretoken": token[1]}, headers=said)

        state = browser.get(f"{site}/orion/api/flow_runs/{run['id']}").json()["state_type"]
    assert (answer.status_code, state) == (200, "CANCELLED")


def test_flows_report_through_nginx(behind: Behind, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        "from orionflow import flow, task\n@task\ndef one(): return 1\n"
        "@flow\ndef proxied(): return one() + one()\nassert proxied() == 2\n"
    )
    address = behind.address.replace("http://", "http://somebody:secret@")

    done = subprocess.run(
        [sys.executable, str(program)],
        env={**_own_environment(), "ORION_HOME": str(tmp_path), "ORION_API_URL": f"{address}/orion/api"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "proxied" in behind.get("/orion/flows")[1]
