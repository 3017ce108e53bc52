"""Proposals for what was probably meant are a slip or two away from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow.spelling import distance, near

KNOWN = ["flow-run", "task-run", "flow", "deploy", "deployment", "work-queue", "work-pool", "server", "state", "failed"]
WORDS = st.text("abcd", max_size=7)


@pytest.mark.parametrize(
    ("typed", "proposals"),
    [
        ("flw-run", ["flow-run"]),
        ("flow_run", ["flow-run"]),
        ("srever", ["server"]),
        ("depoyment", ["deployment"]),
        ("DEPLOY", ["deploy", "deployment"]),
        ("queue", ["work-queue"]),
        ("faled", ["failed"]),
        ("nope", []),
        ("xyz", []),
        ("flows", ["flow"]),
    ],
)
def test_near_names_are_proposed_and_others_are_not(typed, proposals):
    assert near(typed, KNOWN) == proposals


@given(WORDS, WORDS)
def test_the_distance_matches_its_definition(one, other):
    assert distance(one, other, 20) == by_definition(one, other)


@given(WORDS, WORDS, st.integers(0, 4))
def test_distance_stops_early_only_beyond_what_is_allowed(one, other, allowed):
    found = distance(one, other, allowed)

    assert min(found, allowed + 1) == min(by_definition(one, other), allowed + 1)


def by_definition(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    found = min(
        by_definition(one[:-1], other) + 1,
        by_definition(one, other[:-1]) + 1,
        by_definition(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    )
    if len(one) > 1 and len(other) > 1 and one[-2:] == other[-1] + other[-2]:
        found = min(found, by_definition(one[:-2], other[:-2]) + 1)
    return found
