"""`/metrics`: what stands in it, who may read it, and what a scrape costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from deployments.dispatch.services.agents import record_worker_heartbeat
from deployments.models import WorkPool, WorkQueue
from deployments.upkeep import current_settings
from orchestration.measured import Distribution
from orion_site.accounts.users import create_group, create_user, set_groups
from orion_site.metrics.views import shared
from tests.factories import make_flow_run, make_state
from tests.security.askers import Asker, key_of, user_with
from tests.services.dispatching import make_agent, make_queue

pytestmark = pytest.mark.django_db

LARGE_TABLES = ("runs_flowrun", "runs_taskrun", "runs_flowrunstate", "runs_taskrunstate", "runs_log", "events_event")
LABELS = {"pool", "queue", "reason", "service", "kind", "state", "status", "process", "of", "database", "disk", "le"}


@pytest.fixture(autouse=True)
def figures_of_other_tests_are_forgotten() -> None:
    shared.forget()


@pytest.fixture
def read(browser: Client) -> Callable[..., float | None]:
    """`read("orion_queue_depth", queue="gpu")`: the value of one line, and None for a line that is not there."""

    def value(name: str, **labels: str) -> float | None:
        shared.forget()
        text = browser.get("/metrics").content.decode()
        lines = [one for family in text_string_to_metric_families(text) for one in family.samples]
        found = [one.value for one in lines if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) <= 1
        return found[0] if found else None

    return value


def make_waiting(queue: WorkQueue, number: int = 1, seconds: float = 60) -> None:
    due = timezone.now() - timedelta(seconds=seconds)
    for _ in range(number):
        make_flow_run(make_state("SCHEDULED", scheduled_time=due), work_queue_id=queue.pk, now=due)


def test_a_queue_has_metrics_of_its_waiting_runs_and_their_waiting_time(read: Callable[..., float | None]):
    queue = make_queue("gpu")
    make_waiting(queue, 2, seconds=30)
    make_waiting(queue, 1, seconds=90)

    assert read("orion_queue_depth", queue="gpu") == 3
    assert 90 <= (read("orion_queue_oldest_wait_seconds", queue="gpu") or 0) < 100


def test_waiting_runs_are_counted_by_what_keeps_them(read: Callable[..., float | None]):
    make_waiting(make_queue("nobody"), 2)
    paused = make_queue("paused")
    WorkQueue.objects.filter(pk=paused.pk).update(is_paused=True)
    make_waiting(paused, 1)

    assert read("orion_waiting_runs", reason="no_agent") == 2
    assert read("orion_waiting_runs", reason="queue_paused") == 1


@pytest.mark.parametrize(("is_orions", "reason"), [(True, "agents_full"), (False, "starting")])
def test_only_agents_that_report_their_slots_are_full(read: Callable[..., float | None], is_orions: bool, reason: str):
    now = timezone.now()
    queue = make_queue("gpu", last_polled=now)
    make_flow_run("RUNNING", work_queue_id=queue.pk)
    make_waiting(queue)

    if is_orions:
        make_agent(queues=("gpu",), now=now, concurrency=1)
    else:
        record_worker_heartbeat(pool_name=WorkPool.DEFAULT_NAME, name="process", interval_seconds=30, now=now)

    assert read("orion_waiting_runs", reason=reason) == 1


def test_runs_of_the_future_do_not_wait(read: Callable[..., float | None]):
    make_waiting(make_queue("later"), seconds=-600)

    assert read("orion_queue_depth", queue="later") == 0


def test_runs_are_counted_by_state(read: Callable[..., float | None]):
    make_flow_run("RUNNING")
    make_flow_run("COMPLETED")

    assert read("orion_runs", kind="flow-run", state="RUNNING") == 1
    assert read("orion_runs", kind="flow-run", state="COMPLETED") == 1


def test_transitions_are_counted_when_they_are_committed(
    read: Callable[..., float | None], django_capture_on_commit_callbacks
):
    before = read("orion_transitions_total", kind="flow-run", state="RUNNING") or 0

    with django_capture_on_commit_callbacks(execute=True):
        make_flow_run("RUNNING")

    assert read("orion_transitions_total", kind="flow-run", state="RUNNING") == before + 1


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain; version=latest",
        "application/openmetrics-text; version=1.x",
        "application/openmetrics-text; version=99999999999999999999; escaping=\xe4",
        "text/plain; version=; q=",
        ";,=;",
    ],
)
def test_an_answer_is_given_for_any_requested_format(browser: Client, accept: str):
    answer = browser.get("/metrics", headers={"accept": accept})

    assert answer.status_code == 200
    assert b"orion_build_info" in answer.content


def test_an_id_with_an_invalid_time_hides_no_figures(browser: Client):
    make_flow_run(id=UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"))

    answer = browser.get("/metrics")

    assert answer.status_code == 200
    assert b'orion_oldest_record_age_seconds{kind="runs"}' not in answer.content


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_both_formats_of_prometheus_can_be_parsed(browser: Client, accept: str):
    queue = make_queue("plain")
    make_waiting(queue)
    # As earlier versions accepted it.
    WorkQueue.objects.filter(pk=queue.pk).update(name='a "quoted"\nname')

    answer = browser.get("/metrics", headers={"accept": accept})

    parse = read_openmetrics if "openmetrics" in accept else text_string_to_metric_families
    names = {family.name for family in parse(answer.content.decode())}
    assert {"orion_queue_depth", "orion_event_loop_lateness_seconds", "orion_claim_delay_seconds"} <= names
    assert answer.headers["Content-Type"].startswith(accept.split(";")[0])


def test_labels_are_few_and_never_name_a_run(browser: Client):
    queue = make_queue("plain")
    make_waiting(queue, 3)

    text = browser.get("/metrics").content.decode()

    labels = {name for family in text_string_to_metric_families(text) for one in family.samples for name in one.labels}
    assert labels - {"version", "database"} <= LABELS
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", text)


def test_more_queues_than_two_hundred_share_a_line(read: Callable[..., float | None], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("orion_site.metrics.database.MOST_QUEUES", 2)
    for number in range(4):
        make_waiting(make_queue(f"q-{number}"), number + 1)

    assert read("orion_queue_depth", queue="q-3") == 4
    assert read("orion_queue_depth", queue="q-0") is None
    assert read("orion_queue_depth", queue="(others)") == 3


# --- what it costs ---


def queries_of(client: Client) -> CaptureQueriesContext:
    shared.forget()
    current_settings.forget()
    with CaptureQueriesContext(connection) as asked:
        assert client.get("/metrics").status_code == 200
    return asked


def test_a_scrape_takes_a_constant_number_of_queries(ada: object):
    client = Asker(key_of(user_with("monitor")))
    # The first request looks up the key.
    queries_of(client)
    queries_of_few = of_figures(queries_of(client))
    for number in range(5):
        make_agent(f"smith-{number}", (f"q-{number}",), now=timezone.now())
        make_waiting(make_queue(f"q-{number}"), 4)

    asked = queries_of(client)

    assert of_figures(asked) == queries_of_few
    assert len(asked) <= 12


def of_figures(asked: CaptureQueriesContext) -> int:
    """Who asks is looked up now and then, and remembered in between."""
    tables = ("auth_user", "accounts_")
    return sum(not any(name in one["sql"] for name in tables) for one in asked.captured_queries)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="Reads the plans of SQLite.")
def test_no_question_reads_a_large_table(browser: Client, statistics_of_its_own: None):
    queue = make_queue("plain")
    make_waiting(queue, 3)

    asked = queries_of(browser)

    for one in asked.captured_queries:
        if not one["sql"].startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + one["sql"].replace("%", "%%"))
            plan = [row[3] for row in cursor.fetchall()]
        large = [line for line in plan if line.startswith("SCAN") and any(name in line for name in LARGE_TABLES)]
        # The first entry of an index is found by scanning it.
        assert all("USING" in line and "INDEX" in line for line in large), (plan, one["sql"])


def test_requests_in_quick_succession_get_the_same_figures(browser: Client, django_assert_num_queries):
    browser.get("/metrics")
    make_waiting(make_queue("new"))

    with django_assert_num_queries(0):
        again = browser.get("/metrics")

    assert b'queue="new"' not in again.content


# --- who may ---


@pytest.mark.parametrize(
    ("role", "status"), [("monitor", 200), ("viewer", 200), ("agent", 403), ("admin", 200), (None, 401)]
)
def test_metrics_are_readable_with_the_right_only(asker: Callable[[str | None], Asker], role: str | None, status: int):
    assert asker(role).get("/metrics").status_code == status


def test_a_monitor_reads_nothing_else(asker: Callable[[str | None], Asker]):
    client = asker("monitor")

    assert [client.get(path).status_code for path in ("/runs", "/status", "/api/flows/count")] == [403, 403, 403]


def test_a_user_with_rights_on_some_objects_reads_no_metrics(ada: object):
    create_group(name="finance", roles=["viewer:tag:finance"])
    user = create_user(name="fin", roles=[])
    set_groups(name="fin", groups=["finance"])
    client = Asker(key_of(user))

    assert client.get("/metrics").status_code == 403


def test_a_distribution_counts_up_to_each_bound():
    times = Distribution((1.0, 2.0))
    for one in (0.5, 1.0, 1.5, 99, -1):
        times.observe(one)

    assert (times.seen().up_to, times.seen().number, times.seen().total) == ([3, 4], 5, 102.0)
