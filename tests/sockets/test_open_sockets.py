"""Who may open a websocket: each route of them asks as requests are asked, and so does one that is added."""

from __future__ import annotations

import pytest

from orion_site.accounts.permissions import Action, Actor
from orion_site.http.sockets import routes, websockets
from tests.sockets.conftest import OWN_HOST, PATIENCE, PREFECT, talk_to, talking

pytestmark = pytest.mark.django_db(transaction=True)
CONSUMERS = {f"/{route.pattern}": route.callback.consumer_class for route in routes}
PATHS = sorted(CONSUMERS)
ROUTES = pytest.mark.parametrize("path", PATHS)


async def is_refused(talk) -> bool:
    accepted, code = await talk.connect(timeout=PATIENCE)
    await talk.wait(timeout=PATIENCE)
    return (accepted, code) == (False, 4403)


def test_the_walk_sees_what_the_api_has():
    assert len(PATHS) == 3


@ROUTES
def test_every_socket_declares_its_action(path):
    assert isinstance(CONSUMERS[path].action_required, Action)


@ROUTES
async def test_a_program_on_this_machine_is_let_in(path):
    accepted, subprotocol = await talk_to(path, subprotocols=PREFECT).connect(timeout=PATIENCE)

    assert accepted
    assert subprotocol == (None if path.endswith("/in") else "prefect")


@ROUTES
async def test_a_stranger_is_refused_before_anything_is_accepted(path, act_as):
    stranger = Actor("stranger", frozenset())
    act_as(stranger)

    assert await is_refused(talk_to(path, subprotocols=PREFECT))


@ROUTES
async def test_rights_of_other_kinds_do_not_open_it(path, act_as):
    others = Actor("other", frozenset(Action) - {CONSUMERS[path].action_required})
    act_as(others)

    assert await is_refused(talk_to(path, subprotocols=PREFECT))


@ROUTES
@pytest.mark.parametrize("client", ["10.0.0.7", "::2", "8.8.8.8", "nonsense"])
async def test_other_machines_are_refused(path, client):
    assert await is_refused(talk_to(path, subprotocols=PREFECT, client=client))


@ROUTES
@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example:4200", b"10.0.0.7:4200", b""])
async def test_another_hosts_name_is_refused(path, host):
    assert await is_refused(talk_to(path, subprotocols=PREFECT, headers=((b"host", host),)))


@ROUTES
@pytest.mark.parametrize(
    "header",
    [
        (b"origin", b"http://evil.example"),
        (b"origin", b"http://localhost:8000"),
        (b"origin", b"null"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"same-site"),
    ],
)
async def test_a_page_of_another_site_is_refused(path, header):
    assert await is_refused(talk_to(path, subprotocols=PREFECT, headers=(OWN_HOST, header)))


async def test_our_own_pages_may_open_one():
    headers = (OWN_HOST, (b"origin", b"http://localhost:4200"))

    async with talking("/api/events/out", subprotocols=PREFECT, headers=headers):
        pass


@pytest.mark.parametrize("path", ["/", "/ws", "/api/events", "/api/events/in/", "/orion/api/events/in"])
async def test_unlisted_sockets_do_not_exist(path):
    assert await is_refused(talk_to(path))


@pytest.mark.parametrize("path", ["/orion/api/events/in", "/api/events/in"])
async def test_below_a_base_path_it_is_found_whether_or_not_a_proxy_took_the_path_off(path):
    async with talking(path, application=websockets(base_path="/orion/", most=1)):
        pass


@pytest.mark.parametrize("path", ["/api/events/out", "/api/task_runs/subscriptions/scheduled"])
async def test_clients_without_the_subprotocol_are_refused(path):
    accepted, _ = await talk_to(path).connect(timeout=PATIENCE)

    assert not accepted


async def test_a_socket_beyond_the_limit_is_asked_to_retry():
    one = websockets(base_path="", most=1)

    async with talking("/api/events/in", application=one):
        second = talk_to("/api/events/in", application=one)
        await second.connect(timeout=PATIENCE)
        assert await second.close_code() == 1013
    async with talking("/api/events/in", application=one):
        pass


@pytest.mark.parametrize("path", ["/api/events/out", "/api/task_runs/subscriptions/scheduled"])
@pytest.mark.parametrize("first", ['{"type": "filter"}', "not json", "[]", '{"type": null}'])
async def test_a_client_that_does_not_authenticate_is_closed(path, first):
    talk = talk_to(path, subprotocols=PREFECT)
    await talk.connect(timeout=PATIENCE)

    await talk.send_to(first)

    assert await talk.close_code() == 1008


async def test_a_client_that_sends_no_filter_is_closed(monkeypatch):
    monkeypatch.setattr("orchestration.api.sockets.PATIENCE_SECONDS", 0.01)
    talk = talk_to("/api/events/out", subprotocols=PREFECT)

    await talk.connect(timeout=PATIENCE)

    assert await talk.close_code() == 1008
