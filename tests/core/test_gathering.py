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
