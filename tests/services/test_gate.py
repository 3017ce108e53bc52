"""The line before a SQLite file: in order, bounded, and never left locked."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import OperationalError, connection, transaction

from orion_site.database.sqlite.gate import FairGate
from runs.models import Flow
from tests.services.threads import race


def test_threads_pass_in_the_order_in_which_they_came():
    gate, passed = FairGate(), []
    gate.acquire(1)

    def follow(number):
        gate.acquire(60)
        passed.append(number)
        gate.release()

    threads = []
    for number in range(5):
        threads.append(threading.Thread(target=follow, args=(number,)))
        threads[-1].start()
        while gate.waiting <= number:
            time.sleep(0.001)
    gate.release()
    for thread in threads:
        thread.join()

    assert passed == [0, 1, 2, 3, 4]


def test_a_writer_that_times_out_leaves_the_queue():
    gate = FairGate()
    gate.acquire(1)
    outcomes = []
    impatient = threading.Thread(target=lambda: outcomes.append(gate.acquire(0.05)))
    impatient.start()
    impatient.join()

    gate.release()

    assert outcomes == [False]
    assert gate.acquire(0)


def test_the_holder_passes_again_and_leaves_as_often():
    gate, outcomes = FairGate(), []
    gate.acquire(1)
    gate.acquire(1)
    gate.release()
    other = threading.Thread(target=lambda: outcomes.append(gate.acquire(0.05)))
    other.start()
    other.join()

    gate.release()

    assert outcomes == [False]
    assert gate.acquire(0)


def test_no_thread_starves_while_all_write():
    gate, turns = FairGate(), dict.fromkeys(range(8), 0)

    def write(number):
        while sum(turns.values()) < 500:
            gate.acquire(60)
            time.sleep(0.0005)
            turns[number] += 1
            gate.release()

    race(write, range(8))

    assert min(turns.values()) * 2 > max(turns.values())


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    @pytest.fixture(autouse=True)
    def _only_sqlite(self):
        if connection.vendor != "sqlite":
            pytest.skip("PostgreSQL locks rows, not files")

    def test_the_gate_is_free_after_commit_and_after_rollback(self):
        with transaction.atomic():
            Flow.objects.create(name="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Flow.objects.create(name=str(1 / 0))

        assert race(lambda n: Flow.objects.create(name=f"other-{n}").name, range(2)) == ["other-0", "other-1"]

    def test_the_gate_is_free_when_a_connection_is_closed_inside_a_transaction(self):
        def leave_without_a_word(_):
            connection.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
            Flow.objects.create(name="never committed")
            connection.close()

        race(leave_without_a_word, [1])

        race(lambda _: Flow.objects.create(name="after"), [1])
        assert list(Flow.objects.values_list("name", flat=True)) == ["after"]

    def test_a_writer_outside_this_process_is_waited_for(self, django_db_blocker):
        import sqlite3

        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: (other.execute("COMMIT"), other.close())).start()

        race(lambda n: Flow.objects.create(name=f"patient-{n}"), range(8))

        assert Flow.objects.count() == 8

    def test_waiting_too_long_raises_an_error_with_the_reason(self, settings):
        entered, leave = threading.Event(), threading.Event()

        def hold(name):
            if name == "holder":
                with transaction.atomic():
                    entered.set()
                    leave.wait(60)
                return None
            entered.wait(60)
            patience = connection.settings_dict["OPTIONS"]["timeout"]
            connection.settings_dict["OPTIONS"]["timeout"] = 0.1
            try:
                with transaction.atomic():
                    return None
            except OperationalError as error:
                return str(error)
            finally:
                connection.settings_dict["OPTIONS"]["timeout"] = patience
                leave.set()

        assert "no turn to write within 0.1 s" in race(hold, ["holder", "waiter"])[1]
