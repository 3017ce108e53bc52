"""Logs and events in a partition for each day: every id has its place, and days go but for what must stay."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from deployments.upkeep.selectors.old_rows import Ages, count_purgeable
from deployments.upkeep.services import partitions
from deployments.upkeep.services.partitions import (
    DAYS_AHEAD,
    DIVISIBLE,
    CannotDivide,
    divide,
    make_days_ahead,
    parts_of,
    undivided,
)
from deployments.upkeep.services.retention import purge, retain
from events.models import Event
from orchestration.services import propose_flow_run_state
from orionflow.contract.ids import first_id_at
from runs.logs.services import NewLog, record_logs
from runs.models import Log
from tests.conftest import DATABASE
from tests.factories import NOON, make_flow_run, make_log, make_state
from tests.rounds import examples

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite has no partitions"),
]

DAY = timedelta(days=1)
AGES = Ages(logs=30 * DAY, events=14 * DAY)


@pytest.fixture
def divided() -> None:
    """Logs and events are divided on NOON; the database forgets it with the test's transaction."""
    for table in DIVISIBLE:
        divide(table, now=NOON)


def id_at(moment, number: int = 1) -> UUID:
    return UUID(int=first_id_at(moment).int | 7 << 76 | 2 << 62 | number)


def log_at(moment, number: int = 1, **fields) -> Log:
    return make_log(id=id_at(moment, number), now=moment, **fields)


def event_at(moment, number: int = 1, **fields) -> Event:
    fields = {"id": id_at(moment, number), "occurred": moment, **fields}
    return Event.objects.create(received=moment, event="e", resource_id="r", pending=False, **fields)


def names(table: str = "runs_log") -> list[str]:
    return [part.name.removeprefix(f"{table}_") for part in parts_of(table)]


def test_existing_rows_stay_and_new_rows_go_to_their_day():
    before, foreign = log_at(NOON - 9 * DAY), make_log(id=UUID(int=0xF << 124), now=NOON)
    divide("runs_log", now=NOON)

    after = log_at(NOON + DAY)

    assert set(Log.objects.values_list("pk", flat=True)) == {before.pk, foreign.pk, after.pk}
    assert names() == ["past", "p20260106", "p20260107", "p20260108", "p20260109", "ahead", "foreign"]
    assert [part_of(one) for one in (before, foreign, after)] == ["past", "foreign", "p20260106"]


def part_of(log: Log) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM runs_log WHERE id = %s", [log.pk])
        return cursor.fetchone()[0].removeprefix("runs_log_")


def test_the_divided_table_has_the_columns_and_indexes_of_the_plain_one():
    def described() -> tuple:
        with connection.cursor() as cursor:
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'runs_log' ORDER BY indexname")
            indexes = [one.replace(" ON ONLY ", " ON ") for (one,) in cursor.fetchall()]
            cursor.execute(
                "SELECT attname, atttypid, attnotnull FROM pg_attribute WHERE attrelid = 'runs_log'::regclass "
                "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            )
            return indexes, cursor.fetchall()

    plain = described()

    divide("runs_log", now=NOON)

    assert described() == plain


def test_a_table_is_divided_once(divided: None):
    assert undivided() == []
    with pytest.raises(CannotDivide, match="divided already"):
        divide("runs_log", now=NOON)


def test_a_table_that_others_refer_to_stays_as_it_is():
    with pytest.raises(CannotDivide, match="task_run"):
        divide("runs_taskrun", now=NOON)


def test_ids_of_other_clients_are_stored_and_repeats_found(divided: None):
    lines = [NewLog("a", 20, "hello", NOON, id=uuid4()) for _ in range(200)]

    record_logs(lines=lines, now=NOON)
    record_logs(lines=lines, now=NOON)

    assert Log.objects.count() == 200


def test_days_are_created_ahead_and_take_what_came_before_them(divided: None):
    late = log_at(NOON + 20 * DAY)
    assert part_of(late) == "ahead"

    made = make_days_ahead(NOON + 20 * DAY)

    assert made == 2 * 20
    assert part_of(late) == "p20260125"
    assert names()[-2 - DAYS_AHEAD :][0] == "p20260126"
    assert make_days_ahead(NOON + 20 * DAY) == 0


def test_a_whole_day_is_dropped_and_a_younger_one_stays(divided: None):
    for days in (1, 2, 3):
        log_at(NOON + days * DAY)
        event_at(NOON + days * DAY)
    now = NOON + 33 * DAY - timedelta(hours=12)

    gone = retain(ages=AGES, now=now)

    assert dict(+gone) == {"logs": 2, "events": 3}
    assert names()[:3] == ["past", "kept20260106", "p20260108"]
    assert Log.objects.count() == 1
    assert not Event.objects.exists()


def test_a_day_that_was_dropped_still_takes_rows(divided: None):
    log_at(NOON + DAY)
    retain(ages=AGES, now=NOON + 40 * DAY)

    sent_late = log_at(NOON + DAY, 2)

    assert list(Log.objects.all()) == [sent_late]


def test_rows_that_must_stay_are_moved_before_their_day_is_dropped(divided: None):
    is_open = make_flow_run("RUNNING", now=NOON)
    ended = make_flow_run("RUNNING", now=NOON)
    propose_flow_run_state(run_id=ended.pk, proposed=make_state("COMPLETED"), now=NOON)
    kept = {log_at(NOON + days * DAY, 1, flow_run=is_open).pk for days in (1, 2)}
    log_at(NOON + DAY, 2, flow_run=ended)
    # A clock that was ahead: the line says that it is from later than its id.
    dated_later = make_log(id=id_at(NOON + DAY, 3), now=NOON + 39 * DAY)

    gone = retain(ages=AGES, now=NOON + 40 * DAY)

    assert gone["logs"] == 1
    assert set(Log.objects.values_list("pk", flat=True)) == kept | {dated_later.pk}
    assert "p20260107" not in names()


def test_rows_that_were_kept_are_deleted_when_their_run_has_ended(divided: None):
    run = make_flow_run("RUNNING", now=NOON)
    log_at(NOON + DAY, flow_run=run)
    retain(ages=AGES, now=NOON + 40 * DAY)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=NOON + 40 * DAY)

    gone = retain(ages=AGES, now=NOON + 41 * DAY)

    assert gone["logs"] == 1
    assert not Log.objects.exists()


def test_a_day_of_which_nearly_all_must_stay_is_deleted_row_by_row(divided: None, monkeypatch):
    monkeypatch.setattr(partitions, "MOST_KEPT", 1)
    run = make_flow_run("RUNNING", now=NOON)
    for number in (1, 2):
        log_at(NOON + DAY, number, flow_run=run)
    log_at(NOON + DAY, 3)
    log_at(NOON + 2 * DAY, 4)

    gone = retain(ages=AGES, now=NOON + 40 * DAY)

    assert gone["logs"] == 2
    assert Log.objects.count() == 2
    assert names()[:3] == ["past", "p20260106", "kept20260107"]


def test_by_hand_rows_of_a_day_that_has_younger_ones_are_deleted(divided: None):
    log_at(NOON + DAY)
    log_at(NOON + DAY + timedelta(hours=2), 2)
    now = NOON + 31 * DAY + timedelta(hours=1)

    counted, gone = count_purgeable(ages=AGES, now=now), purge(ages=AGES, now=now, pause_seconds=0)

    assert dict(+gone) == dict(+counted) == {"logs": 1}


def test_the_days_of_a_run_of_its_own_time_are_read_alone(divided: None):
    run = make_flow_run("RUNNING", now=NOON)
    log_at(NOON + DAY, flow_run=run)
    since = first_id_at(NOON + DAY)

    plan = Log.objects.filter(flow_run_id=run.pk, pk__gte=since, pk__lt=first_id_at(NOON + 2 * DAY)).explain()

    assert "runs_log_past" not in plan
    assert "runs_log_p20260106" in plan


@examples(1, 60)
@given(st.integers(0, 2**32))
def test_no_line_within_its_time_or_of_an_open_run_is_ever_lost(seed: int):
    chance = random.Random(seed)
    with undone():
        runs = [make_flow_run("RUNNING", now=NOON) for _ in range(3)]
        divide("runs_log", now=NOON)
        now, open_runs, written = NOON, set(runs), {}
        for step in range(6):
            now += timedelta(hours=chance.randint(1, 240))
            for number in range(chance.randint(0, 5)):
                at, run = now - timedelta(hours=chance.randint(0, 200)), chance.choice(runs)
                dated = now + timedelta(hours=chance.randint(-800, 800))
                id = chance.choice([id_at(dated, step * 10 + number), UUID(int=chance.getrandbits(128))])
                written[make_log(id=id, now=at, flow_run=run).pk] = (at, run)
            if open_runs and chance.random() < 0.2:
                ended = open_runs.pop()
                propose_flow_run_state(run_id=ended.pk, proposed=make_state("COMPLETED"), now=now)
            if chance.random() < 0.7:
                make_days_ahead(now)
            retain(ages=Ages(logs=30 * DAY), now=now)

            there = set(Log.objects.values_list("pk", flat=True))
            assert {id for id, (at, run) in written.items() if at >= now - 30 * DAY or run in open_runs} <= there
            written = {id: one for id, one in written.items() if id in there}


@contextmanager
def undone():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
