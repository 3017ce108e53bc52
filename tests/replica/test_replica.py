"""Where requests are read: lists, charts and exports on the replica, all else on the primary; and what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from orchestration.reading import REPLICA, from_the_replica
from orion_site.accounts.users import create_group, create_user, set_groups
from orion_site.database import replica
from orion_site.live.hub import Hub
from runs.models import Flow, FlowRun
from tests.conftest import DATABASE
from tests.factories import make_flow, make_flow_run
from tests.replica.conftest import ticked
from tests.security.askers import Asker, key_of
from tests.security.test_walk import METHODS, SOME_ID, addresses

pytestmark = [
    pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite has no replicas."),
    pytest.mark.usefixtures("second"),
]
AS_OF, INSTEAD = "Orion-As-Of", "Orion-Replica"
# Who asks, what it is allowed, sessions, what was changed in settings; and the clock.
OF_THE_PRIMARY = re.compile(
    r"auth_user|accounts_|django_session|audit_|clock_timestamp|SAVEPOINT|deployments_changedsetting"
)


def make_flow_on_replica(name: str) -> Flow:
    flow = Flow(name=name)
    flow.save(using=REPLICA)
    return flow


@contextmanager
def statements() -> Iterator[dict[str, list[str]]]:
    """Note the statements that each database is asked within it."""
    asked: dict[str, list[str]] = {"default": [], REPLICA: []}

    def noting(alias: str) -> Callable[..., object]:
        def note(execute: Callable[..., object], sql: str, *rest: object) -> object:
            asked[alias].append(sql)
            return execute(sql, *rest)

        return note

    own, other = connections["default"], connections[REPLICA]
    with own.execute_wrapper(noting("default")), other.execute_wrapper(noting(REPLICA)):
        yield asked


def test_a_list_is_read_on_the_replica_and_shows_its_age(browser: Client):
    make_flow("only-here")
    make_flow_on_replica("only-there")
    ticked(seconds_ago=12)

    answer = browser.get("/flows")

    page = answer.content.decode()
    assert "only-there" in page
    assert "only-here" not in page
    as_of = datetime.fromisoformat(answer.headers[AS_OF])
    assert timedelta(seconds=12) <= timezone.now() - as_of < timedelta(seconds=20)
    assert "Read from a replica, as of" in page


def test_lists_of_the_api_are_too(asker: Callable[[str | None], Asker]):
    make_flow_on_replica("only-there")
    ticked()

    answer = asker("viewer").call("POST", "/api/flows/filter", {})

    assert [one["name"] for one in answer.json()] == ["only-there"]
    assert AS_OF in answer.headers


def test_a_run_s_own_page_is_read_on_the_primary(browser: Client):
    ticked()
    run = make_flow_run("RUNNING")

    answer = browser.get(f"/runs/{run.pk}")

    assert answer.status_code == 200
    assert AS_OF not in answer.headers


def test_a_replica_that_lags_too_far_is_not_read(browser: Client):
    make_flow("only-here")
    ticked(seconds_ago=60)

    answer = browser.get("/flows")

    assert "only-here" in answer.content.decode()
    assert answer.headers[INSTEAD] == "behind"
    assert "too far behind" in answer.content.decode()


def test_an_unreachable_replica_is_not_read(browser: Client):
    make_flow("only-here")
    ticked()
    connections[REPLICA].close()
    connections[REPLICA].close_pool()

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connections[REPLICA].settings_dict, "HOST", "/nowhere")
        # It is noticed by the first request, which is answered all the same.
        answers = [browser.get("/flows") for _ in range(2)]
        connections[REPLICA].close_pool()

    assert [one.status_code for one in answers] == [200, 200]
    assert [one.headers[INSTEAD] for one in answers] == ["away", "away"]
    assert all("only-here" in one.content.decode() for one in answers)


def test_a_replica_without_a_new_table_is_not_read(browser: Client):
    make_flow("only-here")
    ticked()
    with connections[REPLICA].cursor() as cursor:
        cursor.execute("ALTER TABLE runs_flow RENAME TO runs_flow_before")
    try:
        answer = browser.get("/flows")
    finally:
        with connections[REPLICA].cursor() as cursor:
            cursor.execute("ALTER TABLE runs_flow_before RENAME TO runs_flow")

    assert "only-here" in answer.content.decode()
    assert answer.headers[INSTEAD] == "away"


def test_rows_that_the_replica_lacks_are_read_on_the_primary(browser: Client):
    ticked()
    flow = make_flow("only-here")

    answer = browser.get(f"/flows/{flow.pk}")

    assert answer.status_code == 200
    assert AS_OF not in answer.headers


def test_a_run_that_continues_is_exported_from_the_primary(browser: Client):
    run = make_flow_run("RUNNING")
    flow = FlowRun.objects.get(pk=run.pk).flow
    flow.save(using=REPLICA, force_insert=True)
    FlowRun.objects.get(pk=run.pk).save(using=REPLICA, force_insert=True)
    ticked()

    answer = browser.get(f"/api/flow_runs/{run.pk}/export")

    assert answer.status_code == 200
    assert AS_OF not in answer.headers


def test_a_browser_that_changed_something_reads_the_primary_for_a_while(browser: Client):
    make_flow("only-here")
    ticked()

    browser.post("/settings/zone", {"zone": "UTC"})
    answer = browser.get("/flows")

    assert "only-here" in answer.content.decode()
    assert AS_OF not in answer.headers


def test_parts_of_a_page_are_read_on_the_primary(browser: Client):
    make_flow("only-here")
    ticked()

    answer = browser.get("/flows?_f=rows")

    assert AS_OF not in answer.headers


def test_a_program_may_ask_for_what_is_new(asker: Callable[[str | None], Asker]):
    make_flow("only-here")
    ticked()
    client = asker("viewer")

    answer = client.generic(
        "POST", "/api/flows/filter", b"{}", content_type="application/json", headers={"cache-control": "no-cache"}
    )

    assert [one["name"] for one in answer.json()] == ["only-here"]


def test_within_a_transaction_the_primary_is_read():
    make_flow("only-here")

    with from_the_replica():
        assert Flow.objects.count() == 0
        with transaction.atomic():
            assert Flow.objects.count() == 1


def test_rows_that_a_user_may_not_see_are_left_out_on_the_replica_too(ada: object):
    create_group(name="finance", roles=["viewer:tag:finance"])
    user = create_user(name="fin", roles=[])
    set_groups(name="fin", groups=["finance"])
    make_flow_on_replica("hidden")
    ticked()

    with statements() as asked:
        answer = Asker(key_of(user)).call("POST", "/api/flows/filter", {})

    assert answer.json() == []
    assert AS_OF in answer.headers
    assert asked[REPLICA]


def test_a_statement_that_took_too_long_is_not_repeated(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def slow() -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 10")
            try:
                cursor.execute("SELECT pg_sleep(5)")
            finally:
                cursor.execute("RESET statement_timeout")

    with pytest.raises(OperationalError):
        replica.answered(replica.Read(timezone.now()), slow)

    assert len(calls) == 1


def test_a_page_begins_where_the_replica_is(monkeypatch: pytest.MonkeyPatch):
    """The page receives later changes at once."""
    hub, now = Hub(), timezone.now()
    monkeypatch.setattr(hub, "_awake_since", now - timedelta(minutes=1))
    hub._times.extend([(2, now - timedelta(seconds=20)), (3, now - timedelta(seconds=10))])
    hub._number = 3

    assert hub.number_of(hub.place_as_of(now)) == 3
    assert hub.number_of(hub.place_as_of(now - timedelta(seconds=11))) == 2
    # Nobody looked at changes then.
    assert hub.number_of(hub.place_as_of(now - timedelta(minutes=2))) is None


# --- every address ---


def is_declared(view: object, method: str) -> bool:
    operations = {one.method: one for one in getattr(view, "operations", ())}
    if operations:
        one = operations.get("GET" if method == "HEAD" else method)
        return one is not None and one.may_lag
    return method in {"GET", "HEAD"} and getattr(view, "may_lag", False)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_only_declared_reads_use_the_replica_and_nothing_else(browser: Client, method: str):
    wrong, lagging = [], []
    for path, view in addresses(get_resolver()):
        # For each address: all of them may take longer than the replica may be behind.
        ticked()
        with statements() as asked:
            answer = browser.generic(method, path, b"{}", content_type="application/json")
        browser.cookies.clear()
        if AS_OF in answer.headers:
            lagging.append(path)
            others = [sql[:120] for sql in asked["default"] if not OF_THE_PRIMARY.search(sql)]
            if not is_declared(view, method) or others:
                wrong.append((path, "primary", others))
        elif not is_declared(view, method) and asked[REPLICA]:
            wrong.append((path, "replica", asked[REPLICA][:1]))

    assert wrong == []
    assert len(lagging) >= {"GET": 8, "POST": 15}.get(method, 0)


def test_lists_charts_and_exports_are_declared_as_reads_of_the_replica():
    declared = {
        path.replace(SOME_ID, "…") for path, view in addresses(get_resolver()) for m in METHODS if is_declared(view, m)
    }

    assert declared >= {"/runs", "/flows", "/task-runs", "/problems", "/events", "/time", "/artifacts", "/deployments"}
    assert declared >= {
        "/api/flow_runs/filter",
        "/api/flow_runs/history",
        "/api/flow_runs/…/export",
        "/api/problems/filter",
    }
    assert not {"/", "/runs/…", "/work", "/api/flow_runs/…/why", "/api/problems/waiting", "/api/flow_runs/…"} & declared
