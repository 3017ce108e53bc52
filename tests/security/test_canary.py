"""A secret that a program reports by accident is nowhere to be read: not in the database, nor in any answer or page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from django.urls import get_resolver
from django.utils import timezone

from deployments.blocks.services.known_secrets import learn_secrets
from events.models import Event
from events.recording.services import store_events
from orion_site.accounts.users import create_user
from orion_site.audit.models import Entry
from orion_site.openapi.document import operations
from orionflow.contract.events import EventCreate
from orionflow.contract.ids import uuid7
from orionflow.contract.masking import MASK, known
from runs.models import FlowRun, TaskRun
from tests.api.blocks import login_schema, make_document
from tests.factories import make_flow, make_flow_run
from tests.security.askers import ELSEWHERE, PASSWORD, Asker, key_of, user_with
from tests.security.test_walk import SOME_ID, addresses
from tests.sockets.conftest import OWN_HOST, PATIENCE, PREFECT, event, talk_to
from tests.web.deployments import make_deployment

CANARY = 'canary-"8cy1" ä\\n'
# It is looked for by its middle: however the rest is spelled, this stands in it.
HEART = "8cy1"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC).isoformat()


def stored() -> str:
    """Every value of every table."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [repr(row) for row in cursor.fetchall()]
    return "\n".join(found)


def leak_everywhere(api: Any) -> tuple[FlowRun, TaskRun]:
    """Report the canary wherever a program can put a text, as any client may, in bare requests."""
    flow = make_flow("leaky")
    text = f"connecting with {CANARY}"
    failed = {"type": "FAILED", "message": text, "timestamp": NOW}
    created = api.send(
        "/flow_runs/",
        {"flow_id": str(flow.pk), "parameters": {"token": CANARY, "deep": [{"x": text}]}, "context": {"a": text}},
    )
    assert created.status_code == 201, created.content
    run = created.json()["id"]
    task = {"flow_run_id": run, "task_key": "load", "dynamic_key": "0", "name": text}
    task_run = api.send("/task_runs/", {**task, "task_inputs": {}}).json()["id"]
    streamed = str(uuid7())
    items = [
        {"task_run_id": streamed, "task_run": {**task, "dynamic_key": "1", "name": "load-1"}, "state": None},
        {"task_run_id": streamed, "state": {**failed, "id": str(uuid7())}},
    ]
    line = {"name": "x", "level": 20, "timestamp": NOW, "flow_run_id": run}
    event = {"id": str(uuid7()), "occurred": NOW, "event": "e", "resource": {"prefect.resource.id": "r"}}
    answers = [
        api.send(f"/task_runs/{task_run}/set_state", {"state": failed}),
        api.send("/task_runs/transitions", {"items": items}),
        api.send("/logs/", [{**line, "message": text}, {**line, "message": f"Traceback\n  {CANARY!r}"}]),
        api.send(
            "/artifacts/", {"key": "k", "type": "markdown", "data": text, "description": text, "flow_run_id": run}
        ),
        api.send("/events", [{**event, "payload": {"said": text}}]),
        api.send(f"/flow_runs/{run}/set_state", {"state": failed, "force": True}),
    ]
    assert [one.status_code for one in answers if one.status_code >= 300] == []
    return FlowRun.objects.get(pk=run), TaskRun.objects.get(pk=streamed)


@pytest.fixture
def secret(api: Any) -> str:
    content = {"user": "ada", "password": CANARY}
    return str(make_document(api, login_schema(api), data=content).json()["id"])


def test_reports_of_programs_are_stored_without_the_secret(api: Any, secret: str):
    run, _ = leak_everywhere(api)

    assert HEART not in stored()
    assert run.parameters == {"token": MASK, "deep": [{"x": f"connecting with {MASK}"}]}


def test_values_that_an_agent_needs_are_stored_unmasked(api: Any, secret: str):
    deployment = make_deployment()
    sent = {"flow_id": str(deployment.flow_id), "deployment_id": str(deployment.pk), "name": f"of {CANARY}"}

    created = api.send("/flow_runs/", {**sent, "parameters": {"token": CANARY}})

    run = FlowRun.objects.get(pk=created.json()["id"])
    assert run.parameters == {"token": CANARY}
    assert HEART not in run.name


def test_a_run_is_not_retried_with_the_masks_of_its_parameters(api: Any, secret: str):
    run, _ = leak_everywhere(api)

    asked = {"from_tasks": ["@failed"], "new_run": True, "process": "laptop|4711|1|boot|ns|machine"}
    answer = api.send(f"/flow_runs/{run.pk}/retry", asked)

    assert answer.status_code in (200, 201), answer.content
    assert answer.json()["retry"] is None
    assert "secrets in its parameters are masked ('deep', 'token')" in str(answer.json())
    assert FlowRun.objects.count() == 1


def test_a_server_that_did_not_seal_it_learns_it_from_the_database(api: Any, secret: str):
    known.forget()

    learn_secrets(timezone.now())
    leak_everywhere(api)

    assert HEART not in stored()


def test_unchanged_secrets_are_read_once(api: Any, secret: str, django_assert_num_queries: Any):
    learn_secrets(timezone.now())

    with django_assert_num_queries(1):
        learn_secrets(timezone.now())


def test_values_by_which_things_are_found_stay_as_they_are(api: Any):
    known.learn(["pr0duction"])
    body = {"flow_id": str(make_flow().pk), "tags": ["pr0duction"], "idempotency_key": "pr0duction"}
    state = {"type": "COMPLETED", "message": "in pr0duction", "data": "pr0duction"}
    run = api.send("/flow_runs/", body).json()

    api.send(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})

    shown = api.read(f"/flow_runs/{run['id']}").json()
    assert (shown["tags"], shown["idempotency_key"]) == (["pr0duction"], "pr0duction")
    assert (shown["state"]["message"], shown["state"]["data"]) == (f"in {MASK}", "pr0duction")


def test_values_that_programs_read_back_are_not_masked(api: Any):
    known.learn(["pr0duction"])
    run = make_flow_run()

    stored_input = api.send(f"/flow_runs/{run.pk}/input", {"key": "k", "value": '"pr0duction"'})

    assert stored_input.status_code == 201
    assert api.read(f"/flow_runs/{run.pk}/input/k").content.decode() == '"pr0duction"'


def test_the_audit_log_masks_secrets_in_other_fields(api: Any, secret: str):
    deployment = make_deployment()

    changed = api.call("PATCH", f"/deployments/{deployment.pk}", {"parameters": {"where": CANARY}})

    assert changed.status_code == 204
    entry = Entry.objects.order_by("day", "number").last()
    assert entry is not None
    assert MASK in entry.after
    assert HEART not in entry.after


@pytest.mark.django_db(transaction=True)
async def test_events_of_a_socket_are_stored_without_it():
    known.learn([CANARY])
    talk = talk_to("/api/events/in")
    assert (await talk.connect(timeout=PATIENCE))[0]

    await talk.send_json_to(event("leak") | {"payload": {"said": CANARY}})
    await talk.disconnect(timeout=PATIENCE)

    text = await Event.objects.aget(event="leak")
    assert text.payload == {"said": MASK}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("role", "text"), [("viewer", MASK), ("deployer", CANARY)])
async def test_sockets_mask_stored_secrets_for_users_without_the_right(role: str, text: str):
    await database_sync_to_async(create_user)(name="ada", password=PASSWORD)
    key = await database_sync_to_async(lambda: key_of(user_with(role)))()
    leak = {**event("leak"), "payload": {"said": CANARY}}
    await database_sync_to_async(store_events)(events=[EventCreate.model_validate(leak)], now=timezone.now())
    known.learn([CANARY])
    headers = (OWN_HOST, (b"authorization", f"Bearer {key}".encode()))
    talk = talk_to("/api/events/out", headers=headers, subprotocols=PREFECT, client=ELSEWHERE)
    assert (await talk.connect(timeout=PATIENCE))[0]

    await talk.introduce({"type": "filter", "filter": {"event": {"name": ["leak"]}}})

    assert (await talk.next_message())["event"]["payload"] == {"said": text}
    await talk.disconnect(timeout=PATIENCE)


@pytest.mark.parametrize("role", ["viewer", pytest.param("operator", marks=pytest.mark.long)])
def test_pages_mask_stored_secrets_for_users_without_the_right(api: Any, asker: Callable[[str], Asker], role: str):
    run, task_run = leak_everywhere(api)
    document = make_document(api, login_schema(api), data={"user": "ada", "password": CANARY}).json()["id"]
    client = asker(role)
    ids = [str(run.pk), str(task_run.pk), str(document), str(run.flow_id)]

    paths = {
        path.replace(SOME_ID, one)
        for path, _ in addresses(get_resolver())
        for one in ids
        if not path.startswith("/admin/")
    }
    shown = {path: client.get(path) for path in sorted(paths)}
    listed = {
        path: client.call("POST", f"/api{path}", {})
        for path, one in operations()
        if one.method == "POST" and path.endswith("/filter")
    }

    assert sum(answer.status_code == 200 for answer in shown.values()) > 50
    texts = {path: _text(answer) for path, answer in {**shown, **listed}.items()}
    leaks = {path: text[max(0, text.index(HEART) - 80) :][:160] for path, text in texts.items() if HEART in text}
    assert leaks == {}


def _text(answer: Any) -> str:
    if answer.streaming:
        return b"".join(answer.streaming_content).decode(errors="replace")
    return str(answer.content.decode(errors="replace"))
