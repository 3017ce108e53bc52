"""Who gets which run: laws of the one decision behind claims and hints."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from deployments.dispatch.core.fair_share import share_of
from deployments.dispatch.core.hand_out import Candidate, Taker, hand_out

QUEUES = [UUID(int=number) for number in range(1, 4)]
POOL = UUID(int=9)
LIMITS = [*QUEUES, POOL, UUID(int=10)]
SHARES = [None, (POOL, "sales"), (POOL, "research")]


def run(number, queue=QUEUES[0], *, priority=1, due=0, limits=(), share=None):
    return Candidate(UUID(int=1000 + number), priority, due, queue, tuple(limits), share and (POOL, share))


@st.composite
def candidates(draw):
    lines = {queue: priority for priority, queue in enumerate(QUEUES, 1)}
    made = []
    for number in range(draw(st.integers(0, 30))):
        queue = draw(st.sampled_from(QUEUES))
        limits = draw(st.lists(st.sampled_from(LIMITS), unique=True, max_size=3))
        share = draw(st.sampled_from(SHARES))
        made.append(
            Candidate(UUID(int=1000 + number), lines[queue], draw(st.integers(0, 5)), queue, tuple(limits), share)
        )
    # A run that the filters of two queues pick waits in two lines.
    again = draw(st.lists(st.sampled_from(made), max_size=3)) if made else []
    return made + again


takers = st.lists(st.builds(Taker, st.integers(0, 6), st.none() | st.frozensets(st.sampled_from(QUEUES))), max_size=6)
rooms = st.dictionaries(st.sampled_from(LIMITS), st.integers(0, 5))
going = st.dictionaries(st.sampled_from(SHARES[1:]), st.integers(0, 9))


@given(candidates(), takers, rooms, going)
def test_nothing_is_given_twice_nor_beyond_a_limit_nor_to_who_did_not_ask(waiting, asking, room, shares):
    given_out = hand_out(waiting, asking, room, shares)

    assert len({one.id for one, _ in given_out}) == len(given_out)
    assert all(number <= room.get(limit, number) for limit, number in taken(given_out).items())
    for number, taker in enumerate(asking):
        mine = [one for one, to in given_out if to == number]
        assert len(mine) <= taker.wanted
        assert taker.lines is None or all(one.line in taker.lines for one in mine)


@given(candidates(), takers, rooms, going)
def test_runs_are_left_only_if_a_limit_is_reached_or_all_agents_are_satisfied(waiting, asking, room, shares):
    given_out = hand_out(waiting, asking, room, shares)

    got, used = Counter(number for _, number in given_out), taken(given_out)
    for one in waiting:
        if one.id in {other.id for other, _ in given_out}:
            continue
        is_full = any(limit in room and used[limit] >= room[limit] for limit in one.limits)
        serving = [n for n, taker in enumerate(asking) if taker.lines is None or one.line in taker.lines]
        assert is_full or all(got[number] == asking[number].wanted for number in serving)


@given(candidates(), st.integers(0, 20), going)
def test_a_smaller_priority_number_goes_first(waiting, wanted, shares):
    given_out = hand_out(waiting, [Taker(wanted)], {}, shares)

    # A run in two lines goes with the more urgent one.
    priorities = [one.priority for one, _ in given_out]
    assert priorities == sorted(priorities)


@given(st.integers(1, 60), st.integers(1, 10), st.integers(1, 20))
def test_shares_that_wait_are_served_alike(many, few, wanted):
    waiting = [run(n, share="a", due=n) for n in range(many)]
    waiting += [run(100 + n, share="b", due=1000 + n) for n in range(few)]

    got = Counter(one.share[1] for one, _ in hand_out(waiting, [Taker(wanted)], {}))

    assert got["b"] == min(few, max(wanted // 2, wanted - many))


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_share_that_has_less_going_catches_up(of_a, of_b):
    waiting = [run(n, share="a") for n in range(20)] + [run(100 + n, share="b") for n in range(20)]
    shares = {(POOL, "a"): of_a, (POOL, "b"): of_b}

    got = Counter(one.share[1] for one, _ in hand_out(waiting, [Taker(10)], {}, shares))

    a, b = of_a + got["a"], of_b + got["b"]
    assert abs(a - b) <= max(1, abs(of_a - of_b) - 10)


def test_takers_get_runs_by_turns():
    given_out = hand_out([run(n, due=n) for n in range(5)], [Taker(9), Taker(9), Taker(1)], {})

    assert [number for _, number in given_out] == [0, 1, 2, 0, 1]


def test_who_serves_one_line_alone_comes_before_who_serves_several():
    both, one = Taker(1, frozenset(QUEUES[:2])), Taker(1, frozenset(QUEUES[:1]))

    given_out = hand_out([run(1), run(2, QUEUES[1], priority=2)], [both, one], {})

    assert [number for _, number in given_out] == [1, 0]


def test_who_serves_all_lines_comes_after_who_serves_some():
    everything, some, one = Taker(1), Taker(1, frozenset(QUEUES[:2])), Taker(1, frozenset(QUEUES[:1]))
    waiting = [run(1), run(2, QUEUES[1], priority=2), run(3, QUEUES[2], priority=3)]

    given_out = hand_out(waiting, [everything, some, one], {})

    assert [number for _, number in given_out] == [2, 1, 0]


def test_a_run_that_is_named_goes_to_the_first_who_names_it_and_serves_its_line():
    asking = [Taker(1, frozenset(QUEUES[1:])), Taker(1, frozenset(QUEUES)), Taker(1, frozenset(QUEUES))]
    named = [Taker(one.wanted, one.lines, named=UUID(int=1001)) for one in asking]

    assert [number for _, number in hand_out([run(1)], named, {})] == [1]


def test_the_agent_of_a_run_is_found():
    one = UUID(int=7)

    assert share_of("deployment", deployment_id=one, author=3, tags=[]) == str(one)
    assert share_of("author", deployment_id=one, author=3, tags=[]) == "3"
    assert share_of("author", deployment_id=one, author=None, tags=[]) == ""
    assert share_of("tag:team", deployment_id=one, author=3, tags=["x", "teams:a", "team:b"]) == "team:b"
    assert share_of("tag:team", deployment_id=one, author=3, tags=["team"]) == ""


def taken(given_out):
    return Counter(limit for one, _ in given_out for limit in one.limits)
