"""Requests that come while others are answered are answered together, each with an answer of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployments.dispatch.gathering import Gathering


class Work:
    """Holds up its first group until it is let go."""

    def __init__(self):
        self.groups = []
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, group):
        self.groups.append(list(group))
        if len(self.groups) == 1:
            self.begun.set()
            self.go.wait(10)
        return [ValueError(one) if one == 13 else one * 10 for one in group]


def asked_while_busy(gathering, work, numbers):
    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        first = threads.submit(gathering.ask, 1)
        assert work.begun.wait(10)
        others = [threads.submit(gathering.ask, number) for number in numbers]
        while len(gathering.waiting()) < len(numbers):
            pass
        work.go.set()
        return [first, *others]


def test_an_idle_server_answers_at_once_and_alone():
    work = Work()
    work.go.set()
    gathering = Gathering(work, most=10)

    assert [gathering.ask(one) for one in (1, 2)] == [10, 20]
    assert work.groups == [[1], [2]]


def test_those_who_come_meanwhile_are_one_group():
    work = Work()

    answers = asked_while_busy(Gathering(work, most=10), work, range(2, 8))

    assert [one.result() for one in answers] == [number * 10 for number in range(1, 8)]
    assert [sorted(group) for group in work.groups] == [[1], [2, 3, 4, 5, 6, 7]]


def test_a_group_has_a_bound_and_who_is_left_is_answered_next():
    work = Work()

    answers = asked_while_busy(Gathering(work, most=4), work, range(2, 8))

    assert [one.result() for one in answers] == [number * 10 for number in range(1, 8)]
    assert list(map(len, work.groups)) == [1, 4, 2]


def test_an_error_is_the_answer_of_whom_it_concerns():
    work = Work()

    answers = asked_while_busy(Gathering(work, most=10), work, [12, 13])

    assert answers[1].result() == 120
    with pytest.raises(ValueError, match="13"):
        answers[2].result()


def test_what_fails_as_a_whole_fails_for_all_and_the_next_is_answered():
    def work(group):
        if group == [1]:
            raise OSError("away")
        return group

    gathering = Gathering(work, most=10)

    with pytest.raises(OSError, match="away"):
        gathering.ask(1)
    assert gathering.ask(2) == 2


def test_who_waits_without_a_thread_is_answered_together_with_all_others():
    work = Work()
    gathering = Gathering(work, most=10)

    first = gathering.ask_without_waiting(1)
    assert work.begun.wait(10)
    others = [gathering.ask_without_waiting(number) for number in (2, 13, 4)]
    with ThreadPoolExecutor(1) as threads:
        in_a_thread = threads.submit(gathering.ask, 5)
        while len(gathering.waiting()) < 4:
            pass
        work.go.set()

    assert [one.result(10) for one in (first, others[0], others[2], in_a_thread)] == [10, 20, 40, 50]
    assert isinstance(others[1].exception(10), ValueError)
    assert work.groups == [[1], [2, 13, 4, 5]]


@pytest.mark.parametrize("waits_in_a_thread", [True, False])
def test_the_next_request_is_answered_with_or_without_a_thread(waits_in_a_thread):
    work = Work()
    gathering = Gathering(work, most=1)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(gathering.ask, 1) if waits_in_a_thread else gathering.ask_without_waiting(1)
        assert work.begun.wait(10)
        second = gathering.ask_without_waiting(2) if waits_in_a_thread else threads.submit(gathering.ask, 2)
        while not gathering.waiting():
            pass
        third = gathering.ask_without_waiting(3)
        work.go.set()

        assert [one.result(10) for one in (first, second, third)] == [10, 20, 30]
    assert work.groups == [[1], [2], [3]]


def test_work_without_an_answer_for_each_fails_for_all_and_the_next_request_is_answered():
    def work(group):
        return [] if group == [1] else group

    gathering = Gathering(work, most=10)

    with pytest.raises(ValueError, match="shorter"):
        gathering.ask(1)
    assert gathering.ask_without_waiting(2).result(10) == 2


@pytest.mark.parametrize("is_led", [False, True], ids=["of an idle server", "behind others"])
def test_a_waiting_request_is_refused_if_no_thread_can_start_and_the_next_is_answered(monkeypatch, is_led):
    work = Work()
    gathering = Gathering(work, most=1)
    with ThreadPoolExecutor(2) as threads:
        both = threading.Barrier(2)
        list(threads.map(lambda _: both.wait(10), range(2)))
        first = threads.submit(gathering.ask, 1) if is_led else None
        if is_led:
            assert work.begun.wait(10)

        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", _no_thread)
            refused = gathering.ask_without_waiting(2)
            if first is not None:
                waits = threads.submit(gathering.ask, 3)
                while len(gathering.waiting()) < 2:
                    pass
            work.go.set()
            assert isinstance(refused.exception(10), RuntimeError)

        if first is not None:
            assert [first.result(10), waits.result(10)] == [10, 30]
    assert gathering.ask_without_waiting(4).result(10) == 40
    assert gathering.ask(5) == 50
    assert [2] not in work.groups


def _no_thread(self):
    raise RuntimeError("can't start new thread")
