"""Every operation of the contract is served, but for those named here with the reason."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from orion_site.openapi.document import operations

FACTS = Path(os.environ.get("ORION_CONTRACT", Path(__file__).parents[3] / "shared" / "api" / "api.json"))
LISTED = Path(__file__).with_name("operations.txt")

NOT_SERVED: dict[tuple[str, str], str] = {}


def shape(path: str) -> str:
    """The path without the names of its parts, which each side may choose."""
    return re.sub(r"\{\w+\}", "{}", path)


def served() -> set[tuple[str, str]]:
    return {(operation.method, shape(path)) for path, operation in operations()}


def contract() -> dict[tuple[str, str], str]:
    """Every operation of the contract with its tier."""
    rows = (line.split() for line in LISTED.read_text().splitlines())
    return {(method, path): tier for tier, method, path in rows}


def test_every_operation_of_the_contract_is_served_or_named_with_the_reason():
    missing = {key for key in contract() if key not in served()}

    assert missing == set(NOT_SERVED)


def test_nothing_that_the_client_needs_is_left_out():
    assert {contract()[key] for key in NOT_SERVED} <= {"C"}


@pytest.mark.skipif(not FACTS.exists(), reason="the facts are not part of this repository")
def test_the_list_is_that_of_the_facts():
    facts = json.loads(FACTS.read_text())["endpoints"]

    given = {(one["method"], shape(one["path"].removeprefix("/api"))): one["tier"] for one in facts}

    assert given == contract()
