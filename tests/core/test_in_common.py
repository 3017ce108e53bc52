"""Findings about chosen runs: planted causes are found, and where there is none, nothing is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from math import comb
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.in_common.core.certainty import least_possible, p_value
from runs.in_common.core.dimensions import SampledRun
from runs.in_common.core.findings import CERTAINTY, in_common, percent
from tests.rounds import THOROUGH

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def some_run(chance: Random, number: int) -> SampledRun:
    """A run as a fleet has them, in which nothing depends on anything."""
    return SampledRun(
        parameters={
            "region": chance.choice(["eu", "us", "ap"]),
            "rows": chance.randint(0, 5000),
            "options": {"fast": chance.random() < 0.5, "day": f"2026-01-{number % 28 + 1:02d}"},
            "files": ["x"] * chance.randint(0, 30),
            "token": str(number),
            "id": f"order-{number}",
        },
        tags=[tag for tag in ("prod", "nightly", "eu", "beta") if chance.random() < 0.3],
        due=NOON + timedelta(minutes=7 * number),
        attempts=chance.choice([1, 1, 1, 2]),
        version=chance.choice(["1.8", "1.9"]),
        deployment=chance.choice(["daily", "hourly"]),
        queue=chance.choice(["default", "big"]),
        pool="pool",
        agent=f"w{chance.randint(1, 8)}",
        host=f"host-{chance.randint(1, 3)}",
        created_by="schedule",
        packages={"pandas": chance.choice(["2.2", "2.3"])},
    )


@cache
def fleet(seed: int, number: int = 600 if THOROUGH else 400) -> tuple[SampledRun, ...]:
    chance = Random(seed)
    return tuple(some_run(chance, place) for place in range(number))


def split(runs, fails, *, noise: float = 0.02, seed: int = 1):
    """The runs that fail and the others; a few fail for no reason."""
    chance = Random(seed)
    failed = [fails(run) or chance.random() < noise for run in runs]
    return [run for run, bad in zip(runs, failed, strict=True) if bad], [
        run for run, bad in zip(runs, failed, strict=True) if not bad
    ]


PLANTED = [
    ("a worker", lambda run: run.agent == "w3", "agent w3"),
    ("a parameter", lambda run: run.parameters["region"] == "eu", 'parameter region "eu"'),
    ("a field of a parameter", lambda run: run.parameters["options"]["fast"], "parameter options.fast true"),
    ("a version", lambda run: run.version == "1.9", "flow version 1.9"),
    ("a package", lambda run: run.packages["pandas"] == "2.3", "package pandas 2.3"),
    ("a tag", lambda run: "nightly" in run.tags, "tag nightly"),
    ("a tag that is missing", lambda run: "prod" not in run.tags, "without tag prod"),
    ("an hour", lambda run: run.due.hour == 3, "hour 03:00 to 03:59"),
    ("an empty input", lambda run: run.parameters["files"] == [], "size of parameter files"),
    ("large numbers", lambda run: run.parameters["rows"] >= 3750, "parameter rows"),
    ("a second attempt", lambda run: run.attempts == 2, "attempts 2"),
]


@pytest.mark.parametrize(("fails", "name"), [row[1:] for row in PLANTED], ids=[row[0] for row in PLANTED])
def test_a_planted_cause_is_the_first_finding(fails, name):
    found = in_common(*split(fleet(7), fails))

    assert found.findings[0].name.startswith(name)
    assert found.findings[0].p < CERTAINTY


def test_two_causes_at_once_are_both_found():
    found = in_common(*split(fleet(3, 1500), lambda run: run.agent == "w3" and run.parameters["region"] == "eu"))

    assert {one.name for one in found.findings} == {"agent w3", 'parameter region "eu"'}


def test_where_nothing_makes_a_difference_nothing_is_found():
    """At the stated certainty more than four false ones among a hundred draws happen less than once in 250."""
    false = 0
    for seed in range(100 if THOROUGH else 5):
        runs = Random(seed).sample(fleet(seed, 300), 300)
        false += bool(in_common(runs[:60], runs[60:]).findings)

    assert false <= (4 if THOROUGH else 1)


def test_secrets_are_not_compared_by_their_value():
    runs = [SampledRun(parameters={"password": "a" if place < 20 else "b"}) for place in range(40)]

    assert in_common(runs[:20], runs[20:]).findings == []


def test_facts_of_the_same_runs_are_grouped():
    runs = [
        SampledRun(agent="w3", host="h3") if place < 30 else SampledRun(agent="w1", host="h1") for place in range(90)
    ]

    found = in_common(runs[:30], runs[30:]).findings

    assert [(one.name, one.like) for one in found] == [("agent w3", ""), ("host h3", "agent w3")]
    assert found[0].lift is None
    assert found[0].text == "agent w3: 100 % of the chosen runs (30 of 30), 0 % of the others (0 of 60)"
    assert list(found[0].places) == list(range(30))


def test_facts_that_cannot_be_compared_are_listed_with_the_reason():
    runs = fleet(5, 400)
    without = [SampledRun(parameters=run.parameters, tags=run.tags, due=run.due) for run in runs[:300]]

    found = in_common(runs[300:], without)

    assert "agent: not recorded for 300 of 400 runs" in found.not_compared
    assert "parameter id: 400 different values" in found.not_compared


def test_too_few_runs_are_not_compared():
    runs = fleet(5, 10)

    assert in_common(runs[:2], runs[2:]).not_compared == [
        "There are too few chosen runs to compare: at least 3 are needed."
    ]
    assert not in_common(runs, []).findings


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_the_chance_is_that_of_the_urn(chosen_with, chosen, others_with, others):
    chosen_with, others_with = min(chosen_with, chosen), min(others_with, others)
    with_it, everything = chosen_with + others_with, chosen + others

    p = p_value(chosen_with, chosen, others_with, others)

    exact = sum(
        comb(with_it, number) * comb(everything - with_it, chosen - number)
        for number in range(chosen_with, min(chosen, with_it) + 1)
    ) / comb(everything, chosen)
    if chosen_with * everything > chosen * with_it:
        assert p == pytest.approx(exact)
    else:
        assert p == 1.0
    assert least_possible(chosen, others, with_it) <= p + 1e-12


def test_large_numbers_neither_overflow_nor_vanish():
    assert 0 < p_value(60, 100, 4_000, 10_000) < 1e-3
    assert p_value(5_000, 5_000, 0, 5_000) == 0.0


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1, "100 %"), (0.004, "0.4 %"), (0.996, "99.6 %"), (0.00001, "< 0.1 %"), (0.5, "50 %")],
)
def test_percents_are_honest_at_their_ends(share, words):
    assert percent(share) == words
