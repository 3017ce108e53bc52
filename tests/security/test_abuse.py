"""No client can exclude others by many requests or connections: buckets, and shares of sockets and threads."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orion_site.accounts import throttling
from orion_site.accounts.keys import revoke_key
from orion_site.accounts.models import ApiKey
from orion_site.accounts.permissions import LOCAL_OWNER, Actor
from orion_site.http.sockets import OpenSockets
from orion_site.http.thread_pools import BoundedPool
from orion_site.http.wsgi_adapter import sender_of
from tests.security.askers import Asker, key_of

VERSION, LOGS = "/api/version", "/api/logs/"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("orion_site.accounts.throttling.time.monotonic", clock)
    return clock


@pytest.fixture
def small(settings: Any, clock: Clock) -> Clock:
    """Ten requests at once, and two a second."""
    settings.ORION_API_REQUESTS_PER_SECOND, settings.ORION_API_BURST = 2, 10
    return clock


def test_a_key_that_asks_too_often_learns_when_to_ask_again(ada: User, small: Clock):
    client = Asker(key_of(ada))

    assert [client.get(VERSION).status_code for _ in range(11)] == [200] * 10 + [429]
    refused = client.get(VERSION)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert "Expected available in 1 second" in refused.json()["detail"]

    small.now += 1.0
    assert [client.get(VERSION).status_code for _ in range(3)] == [200, 200, 429]


def test_each_key_has_its_own_bucket(ada: User, small: Clock):
    first, second = Asker(key_of(ada)), Asker(key_of(ada))
    for _ in range(10):
        first.get(VERSION)

    assert (first.get(VERSION).status_code, second.get(VERSION).status_code) == (429, 200)


def test_reports_of_running_work_cost_a_tenth(ada: User, small: Clock):
    client = Asker(key_of(ada))

    answers = [client.call("POST", LOGS, []).status_code for _ in range(101)]

    assert answers == [201] * 100 + [429]


def test_long_bodies_cost_more(ada: User, small: Clock):
    client = Asker(key_of(ada))
    long = {"name": "v", "value": "x" * (4 * throttling.PIECE)}

    answers = [client.call("POST", "/api/variables/", long).status_code for _ in range(3)]

    assert answers == [422, 422, 429]


def test_the_owner_of_this_machine_is_not_counted(api: Any, small: Clock):
    assert {api.read("/version").status_code for _ in range(30)} == {200}


def test_without_a_rate_no_request_is_counted(ada: User, small: Clock, settings: Any):
    settings.ORION_API_REQUESTS_PER_SECOND = 0
    client = Asker(key_of(ada))

    assert {client.get(VERSION).status_code for _ in range(30)} == {200}


def guess(number: int) -> str:
    return f"orn_{number:08d}" + "A" * 35


def test_a_client_that_tries_keys_waits_without_a_query(ada: User, clock: Clock, django_assert_num_queries: Any):
    answers = [Asker(guess(number)).get(VERSION).status_code for number in range(36)]

    # Some are looked up all the same: one of them may be right.
    assert answers == [401] * 35 + [429]
    with django_assert_num_queries(0):
        refused = Asker(guess(99)).get(VERSION)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert Asker(key_of(ada), address="192.0.2.8").get(VERSION).status_code == 200


def test_many_wrong_keys_keep_no_good_one_of_the_same_address_out(ada: User, clock: Clock):
    good = Asker(key_of(ada))
    assert good.get(VERSION).status_code == 200

    for number in range(200):
        Asker(guess(number)).get(VERSION)

    assert {good.get(VERSION).status_code for _ in range(50)} == {200}


def test_a_good_key_that_was_not_seen_before_comes_through_soon(ada: User, clock: Clock):
    for number in range(200):
        Asker(guess(number)).get(VERSION)
    new = Asker(key_of(ada))
    assert new.get(VERSION).status_code == 429

    clock.now += 0.5

    assert {new.get(VERSION).status_code for _ in range(50)} == {200}


def test_a_program_with_a_wrong_key_slows_only_itself(ada: User, clock: Clock):
    wrong = Asker(guess(1))
    answers = [wrong.get(VERSION).status_code for _ in range(100)]

    assert answers == [401] * 15 + [429] * 85
    assert {Asker(guess(number)).get(VERSION).status_code for number in range(2, 20)} == {401}


def test_a_key_that_was_good_and_is_revoked_is_looked_up_and_refused(ada: User, clock: Clock):
    good = Asker(key_of(ada))
    good.get(VERSION)
    for number in range(40):
        Asker(guess(number)).get(VERSION)
    revoke_key(key_id=ApiKey.objects.get().pk, now=timezone.now())

    assert good.get(VERSION).status_code == 401


def test_a_key_that_was_revoked_is_not_a_guess(ada: User, clock: Clock):
    client, other = Asker(key_of(ada)), Asker(key_of(ada))
    revoke_key(key_id=ApiKey.objects.order_by("pk")[0].pk, now=timezone.now())

    assert {client.get(VERSION).status_code for _ in range(40)} == {401}
    assert other.get(VERSION).status_code == 200


def test_requests_that_cost_more_than_a_bucket_wait_until_it_is_full(clock: Clock):
    buckets = throttling.Buckets()

    assert buckets.take("a", 50, rate=1, size=10) == 0
    assert buckets.take("a", 1, rate=1, size=10) == pytest.approx(41)
    clock.now += 41
    assert buckets.take("a", 1, rate=1, size=10) == 0


def test_the_number_of_buckets_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throttling, "MOST_BUCKETS", 3)
    buckets = throttling.Buckets()
    for name in "abcdef":
        buckets.take(name, 1, rate=1, size=10)

    assert [name for name in "abcdef" if buckets.is_known(name)] == ["d", "e", "f"]


# --- shares ---


def test_one_client_cannot_take_all_threads_of_a_pool():
    pool = BoundedPool("test", threads=1, in_flight=8)

    assert [pool.admit(b"a key") for _ in range(8)] == [True] * 6 + [False] * 2
    assert [pool.admit(b"another") for _ in range(3)] == [True, True, False]
    pool.leave(b"a key")
    assert pool.admit(b"a key")
    assert pool.close(0) is False


def test_this_machine_may_take_all_threads_of_a_pool():
    pool = BoundedPool("test", threads=1, in_flight=8)

    assert [pool.admit() for _ in range(9)] == [True] * 8 + [False]


@pytest.mark.parametrize(
    ("headers", "address", "who"),
    [
        ([], "127.0.0.1", b""),
        ([], "::1", b""),
        ([], "192.0.2.7", b"192.0.2.7"),
        ([(b"host", b"x"), (b"authorization", b"Bearer k")], "127.0.0.1", b"Bearer k"),
        ([(b"cookie", b"orion_session=x")], "192.0.2.7", b"orion_session=x"),
    ],
)
def test_a_share_is_of_a_key_a_session_or_an_address(headers: Any, address: str, who: bytes):
    assert sender_of({"headers": headers, "client": (address, 1)}) == who


async def opened(sockets: OpenSockets, user: Actor | None, address: str = "192.0.2.7") -> list[dict[str, Any]]:
    """Open one more socket while the earlier ones are open, and return the first message to it."""
    received: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        received.append(message)

    await sockets({"user": user, "address": address, "subprotocols": []}, receive, send)
    return received


@pytest.mark.parametrize(
    ("who", "most"),
    [(Actor("ada", frozenset(), user_id=1, key_id=2), 2), (None, 2), (LOCAL_OWNER, 4)],
    ids=["a key", "a stranger", "the owner"],
)
async def test_one_client_cannot_take_all_sockets(who: Actor | None, most: int):
    inside = 0
    turned_away = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        nonlocal inside
        inside += 1
        if received := await opened(sockets, who):
            turned_away.append((inside, received[-1]))

    sockets = OpenSockets(inner, most=4)
    await opened(sockets, who)

    ((held, last),) = turned_away
    assert (held, last["type"], last["code"]) == (most, "websocket.close", 1013)
    # All of them have been closed again.
    assert sockets._open.total() == 0
