"""Mistakes of other orchestrators that are tried nowhere else; docs/reference/security.md has the whole list."""

from __future__ import annotations

import ast
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from events.notifications.services.notifications import send_notifications
from orion_site.openapi.document import operations
from tests.api.conftest import Api
from tests.events.conftest import receiver
from tests.events.rows import make_block, make_policy
from tests.factories import later, make_flow_run
from tests.security.askers import Asker, key_of

__all__ = ["receiver"]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "path",
    [
        "/api/x-health",
        "/api/flows/health",
        "/api/%2Fhealth",
        "/api/flows/;ready",
        "/api/admin/settings;health",
        "/api/admin/settings%23/api/health",
        "/api/health/../admin/settings",
        "/api/health%2f..%2fadmin%2fsettings",
        "/static/../api/admin/settings",
        "/login/../api/admin/settings",
        "/login;/../runs",
        "/api/ready",
    ],
)
@pytest.mark.parametrize("host", ["localhost:4200", "localhost:4200/api/health", "localhost/health"])
def test_no_spelling_of_an_address_or_host_passes_the_question_who_asks(ada: User, path: str, host: str):
    """Prefect CVE-2026-3514 and -7722: whatever ended in `health` was open, and so was what the host made to."""
    answer = Asker(host=host).get(path)

    assert answer.status_code in {302, 400, 401, 404}
    assert "ORION_HOME" not in answer.content.decode()


def test_a_name_that_changes_its_mind_gains_nothing(
    receiver: Any, settings: Any, monkeypatch: pytest.MonkeyPatch, db: None
):
    """Prefect CVE-2026-7724: the address was judged, and then the name was asked again."""
    settings.ORION_WEBHOOK_ALLOW = []
    asked: list[str] = []
    connected: list[str] = []

    def resolved(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        address = "93.184.216.34" if asked == ["rebind.example"] else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise OSError("nobody goes there from here")

    monkeypatch.setattr("events.notifications.services.sending.socket.getaddrinfo", resolved)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    port = receiver.url.rpartition(":")[2]
    make_policy(make_block("slack-webhook", {"url": f"http://rebind.example:{port}/"}))
    make_flow_run("RUNNING")

    send_notifications(later())

    assert (asked, set(connected), receiver.got) == (["rebind.example"], {"93.184.216.34"}, [])


def test_a_message_that_is_a_pickle_is_not_opened():
    """Celery CVE-2021-23727 and CELERYSA-0003: what a broker holds became code."""
    from kombu.exceptions import ContentDisallowed
    from kombu.serialization import loads

    from orionflow.agent.broker import celery_app

    settings = celery_app("orion", "redis://localhost:6379/0").conf

    assert (settings.accept_content, settings.task_serializer, settings.result_backend) == (["json"], "json", None)
    assert not settings.worker_enable_remote_control
    with pytest.raises(ContentDisallowed):
        loads(pickle.dumps({}), "application/x-python-serialize", "binary", accept=settings.accept_content)


SORTED = sorted(
    path for path, one in operations() if one.method == "POST" and path.endswith("/filter") and "{" not in path
)


@pytest.mark.parametrize(
    "sort",
    [
        "user__password",
        "-id",
        "id; DROP TABLE runs_flowrun",
        "__class__",
        "NAME_ASC--",
        {"name": "NAME_ASC"},
        ["NAME_ASC"],
        {"x) FROM auth_user --": "id"},
    ],
    ids=str,
)
def test_an_order_is_one_of_those_that_are_named(api: Api, sort: Any):
    """Django CVE-2026-1312: names of columns came from a request."""
    answers = {path: api.send(path, {"sort": sort}).status_code for path in SORTED}

    # Lists without an order leave the word unread, as they do any other that they do not know.
    assert set(answers.values()) <= {200, 422}
    assert sum(status == 422 for status in answers.values()) >= 6


@pytest.mark.parametrize(
    "field",
    ["password", "user__password__startswith", "id__regex", "_connector", "flow__name", "__class__", "pk__in"],
)
def test_a_filter_is_one_of_those_that_are_named(api: Api, field: str):
    for path in SORTED:
        name = path.strip("/").split("/")[0]
        plain = api.send(path, {})
        answer = api.send(path, {name: {field: {"any_": ["x"]}}, field: "x"})
        assert answer.status_code in {200, 422}, path
        # What is not known is refused, or it filters nothing.
        assert answer.status_code == 422 or answer.json() == plain.json(), path


def test_a_viewer_reads_no_secret_by_any_list(ada: User, api: Api):
    """Airflow CVE-2025-54831: who might only read saw the secrets of connections."""
    client = Asker(key_of(ada, role="viewer"))

    for path in SORTED:
        answer = client.call("POST", f"/api{path}", {"include_secrets": True})
        assert answer.status_code in {200, 403, 422}, path
        if path == "/block_documents/filter":
            assert answer.status_code == 403


def test_examples_start_no_shell_with_values_of_others():
    """Airflow CVE-2020-11978 and -2026-30898: examples, and those of the documentation, executed parts of a request."""
    for path in (ROOT / "examples").glob("*.py"):
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {ast.unparse(node.func) for node in calls} & {"os.system", "os.popen", "eval", "exec"}, path
        assert "shell" not in {keyword.arg for node in calls for keyword in node.keywords}, path
