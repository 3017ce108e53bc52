"""The files for operators: parsed, linted by the programs that read them, and tried where that is possible here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
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
from tests import warm
from tests.homes import ready_home
from tests.ports import lasting_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ORION = [sys.executable, "-m", "orionflow.cli"]
PASSWORD = "an otter in the river\n"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
DOCUMENTED = "".join((ROOT / "docs" / "reference" / f"{name}.md").read_text() for name in ("server", "settings"))


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
        assert set(service.get("secrets", [])) <= set(compose.get("secrets", ()))
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

    # This one is of the compose file itself.
    assert {name for name in named - {"ORION_AGENT_KEY"} if name not in DOCUMENTED} == set()


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
        self.address = f"http://127.0.0.1:{lasting_port()}"
        self.secure_address = f"https://127.0.0.1:{lasting_port()}"
        # Another proxy, which sets no header that would give it away.
        self.bare_address = f"http://127.0.0.1:{lasting_port()}"
        self.certificate = _certificate(folder)
        self._folder = folder
        self._server_port = lasting_port()
        self.direct_address = f"http://127.0.0.1:{self._server_port}"
        self.environment = {
            **_own_environment(),
            "ORION_HOME": str(ready_home(folder / "home")),
            "ORION_EXTERNAL_URL": f"{self.secure_address}/orion",
            "ORION_TRUSTED_PROXIES": "127.0.0.1",
        }
        confs = [self._write_configuration(), self._write_bare_configuration()]
        for conf in confs:
            subprocess.run(["nginx", "-t", "-c", str(conf)], capture_output=True, timeout=30, check=True)
        self.orion("user", "create", "ada", "--role", "admin", given=PASSWORD)
        self.key = json.loads(self.orion("key", "create", "tests", "--role", "deployer", "-o", "json"))["key"]
        command = [*ORION, "server", "start", "--port", str(self._server_port), "--no-services", "--no-agent"]
        self.processes = [
            *(subprocess.Popen(["nginx", "-c", str(conf)], stderr=subprocess.DEVNULL) for conf in confs),
            warm.Popen(command, env=self.environment, stderr=subprocess.DEVNULL),
        ]

    def orion(self, *words: str, given: str = "") -> str:
        done = warm.run(
            [*ORION, *words],
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def _write_configuration(self) -> Path:
        folder = self._folder
        included = (DEPLOY / "nginx" / "orion.conf").read_text()
        (folder / "orion.conf").write_text(included.replace("127.0.0.1:4200", f"127.0.0.1:{self._server_port}"))
        return self._write(
            "nginx",
            _as_whoever_runs_this(),
            f"server {{ listen {self.address.removeprefix('http://')}; include {folder}/orion.conf; }}\n"
            f"server {{ listen {self.secure_address.removeprefix('https://')} ssl; include {folder}/orion.conf;\n"
            f"ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate}; }}\n",
        )

    def _write_bare_configuration(self) -> Path:
        return self._write(
            "bare",
            "user nobody nogroup;" if os.geteuid() == 0 else "",
            f"server {{ listen {self.bare_address.removeprefix('http://')};\n"
            f"location / {{ proxy_pass {self.direct_address}; }} }}\n",
        )

    def _write(self, name: str, user: str, servers: str) -> Path:
        folder = self._folder
        conf = folder / f"{name}.conf.whole"
        conf.write_text(
            f"{user} daemon off; worker_processes 1; pid {folder}/{name}.pid;\n"
            f"error_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n"
            f"client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;\n"
            f"fastcgi_temp_path {folder}/{name}-f; uwsgi_temp_path {folder}/{name}-u;\n"
            f"scgi_temp_path {folder}/{name}-s;\n"
            f"{servers} }}\n"
        )
        return conf

    def get(self, path: str, *, key: str | None = "", site: str = "") -> tuple[int, str]:
        request = Request((site or self.address) + path)
        if key is not None:
            request.add_header("Authorization", f"Bearer {key or self.key}")
        try:
            with urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def browser(self) -> requests.Session:
        """A session without cookies, as of a browser before signing in."""
        session = requests.Session()
        # Otherwise a certificate bundle named in the environment would take precedence over this certificate.
        session.trust_env, session.verify = False, str(self.certificate)
        return session

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
    """Under root, nginx would switch to another user, who may not read the test's folder."""
    return "user root;" if os.geteuid() == 0 else ""


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


def token_of(page: requests.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def post(browser: requests.Session, page: requests.Response, address: str, **fields: str) -> requests.Response:
    """Send a form of a page, as browsers do."""
    site = "/".join(page.url.split("/")[:3])
    given = {"Origin": site, "Referer": page.url, "Sec-Fetch-Site": "same-origin"}
    form = {"csrfmiddlewaretoken": token_of(page), **fields}
    return browser.post(address, data=form, headers=given, allow_redirects=False)


def sign_in(browser: requests.Session, site: str) -> requests.Response:
    page = browser.get(f"{site}/orion/login")
    return post(browser, page, f"{site}/orion/login", username="ada", password=PASSWORD.strip())


def test_requests_through_nginx_need_credentials(behind: Behind):
    assert behind.get("/orion/api/me", key=None)[0] == 401
    assert behind.get("/orion/api/me", key="orn_" + "A" * 43)[0] == 401
    assert behind.get("/orion/api/me")[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start nginx as another user")
def test_a_request_without_a_user_from_a_proxy_is_not_the_owner(behind: Behind):
    site = behind.bare_address

    assert behind.get("/orion/api/health", key=None, site=site)[0] == 200
    assert behind.get("/orion/api/me", key=None, site=site)[0] == 401
    assert behind.get("/orion/api/me", key=None, site=behind.direct_address)[0] == 200


def test_pages_below_the_path_link_below_the_path(behind: Behind):
    status, page = behind.get("/orion/runs")

    assert status == 200
    assert 'href="/orion/' in page
    assert 'href="/flows' not in page


def test_users_behind_the_proxy_are_asked_to_sign_in(behind: Behind):
    with behind.browser() as browser:
        asked = browser.get(f"{behind.secure_address}/orion/admin/")
        sign_in(browser, behind.secure_address)
        opened = browser.get(f"{behind.secure_address}/orion/admin/")

    assert asked.url == f"{behind.secure_address}/orion/login?next=%2Forion%2Fadmin%2F"
    assert "Site administration" in opened.text or "What operators do" in opened.text


def test_cookies_of_a_session_over_tls_are_sent_over_tls_only(behind: Behind):
    with behind.browser() as browser:
        answer = sign_in(browser, behind.secure_address)
        cookies = list(browser.cookies)
        page = browser.get(f"{behind.secure_address}/orion/runs")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/orion/")
    assert {cookie.name for cookie in cookies} >= {"orion_session", "orion_csrf"}
    assert all(cookie.secure for cookie in cookies)
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert page.status_code == 200


def test_the_servers_own_machine_is_not_bound_to_tls(behind: Behind):
    """Forms need cookies, and browsers do not send secure ones over plain HTTP."""
    with behind.browser() as browser:
        page = browser.get(f"{behind.direct_address}/orion/login")

    assert "Strict-Transport-Security" not in page.headers
    assert not any(cookie.secure for cookie in browser.cookies)


def test_a_session_has_the_address_that_the_proxy_saw(behind: Behind):
    with behind.browser() as browser:
        page = browser.get(f"{behind.secure_address}/orion/login")
        form = {"csrfmiddlewaretoken": token_of(page), "username": "ada", "password": "wrong"}
        given = {"Origin": behind.secure_address, "Referer": page.url, "X-Forwarded-For": "203.0.113.9"}
        answer = browser.post(f"{behind.secure_address}/orion/login", data=form, headers=given)

    listed = behind.orion("audit", "ls", "-o", "json", "--limit", "5")

    assert answer.status_code == 422
    # The client's own words come before what nginx adds.
    assert '"127.0.0.1"' in listed
    assert "203.0.113.9" not in listed


def test_forms_work_through_the_proxy(behind: Behind):
    site = behind.secure_address
    with behind.browser() as browser:
        sign_in(browser, site)
        program = {"Authorization": f"Bearer {behind.key}"}
        with requests.Session() as api:
            api.trust_env, api.verify = False, str(behind.certificate)
            api.headers.update(program)
            flow = api.post(f"{site}/orion/api/flows/", json={"name": "waiting"}).json()
            scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
            run = api.post(f"{site}/orion/api/flow_runs/", json={"flow_id": flow["id"], "state": scheduled}).json()
            page = browser.get(f"{site}/orion/runs/{run['id']}")
            action = re.search(r'action="(/orion/[^"]*cancel)"', page.text)
            assert action is not None

            answer = post(browser, page, f"{site}{action[1]}")

            state = api.get(f"{site}/orion/api/flow_runs/{run['id']}").json()["state_type"]
    assert (answer.status_code, state) == (302, "CANCELLED")


def test_every_page_with_a_form_takes_it_through_the_proxy(behind: Behind):
    """A form without the fields that it needs is refused for that, and not for the site that it came from."""
    site, refused, tried = behind.secure_address, [], 0
    with behind.browser() as browser:
        sign_in(browser, site)
        for path in FORMS:
            page = browser.get(f"{site}/orion{path}")
            assert page.status_code == 200, path
            answer = post(browser, page, page.url)
            tried += 1
            if answer.status_code == 403:
                refused.append(path)

    assert (refused, tried) == ([], len(FORMS))


# Forms that are sent to their own address.
FORMS = [
    "/settings/users/new",
    "/settings/groups/new",
    "/settings/password",
    "/settings/keys",
    "/work/pools/new",
    "/variables/new",
    "/login",
]


def test_flows_report_through_nginx(behind: Behind, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        "from orionflow import flow, task\n@task\ndef one(): return 1\n"
        "@flow\ndef proxied(): return one() + one()\nassert proxied() == 2\n"
    )
    given = {"ORION_API_URL": f"{behind.address}/orion/api", "ORION_API_KEY": behind.key}

    done = subprocess.run(
        [sys.executable, str(program)],
        env={**_own_environment(), "ORION_HOME": str(tmp_path), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "proxied" in behind.get("/orion/flows")[1]


def test_a_units_user_reads_one_environment_only():
    """Flows run as the agents' user, who must not read the server's environment."""
    read = {
        unit.name: re.findall(r"^(?:User|EnvironmentFile|StateDirectory)=(.*)$", unit.read_text(), re.M)
        for unit in UNITS
    }

    assert read.pop("orion-agent@.service") == ["orion-agent", "/etc/orion/agent.env", "orion-agent"]
    assert set(map(tuple, read.values())) == {("orion", "/etc/orion/orion.env", "orion")}
    of_agents = (DEPLOY / "systemd" / "agent.env").read_text()
    assert not re.search(r"DATABASE|SECRET|ENCRYPTION", of_agents)


def test_no_proxy_takes_credentials_away():
    for conf in (DEPLOY / "nginx" / "orion.conf", DEPLOY / "compose" / "nginx.conf"):
        assert "Authorization" not in conf.read_text()
