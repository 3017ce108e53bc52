"""Planned runs in the list: behind those whose time has come, the next one first."""

from __future__ import annotations

import json
import sys

import pytest

from tests import warm
from tests.cli.conftest import PROGRAMS, companion, environment_of
from tests.homes import ready_home

PLANNING = """
from datetime import UTC, datetime, timedelta
from orionflow import OrionClient
from orionflow.calls.flow_runs import create_flow_run
from orionflow.calls.flows import create_flow
from orionflow.states import Scheduled

with OrionClient() as client:
    flow = client.send(create_flow("planned"))
    for name, hours in (("old", -2), ("new", -1), ("tomorrow", 24), ("soon", 1), ("evening", 8)):
        state = Scheduled(datetime.now(UTC) + timedelta(hours=hours))
        client.send(create_flow_run(flow.id, name=name, state=state))
"""
IN_ORDER = ["new", "old", "soon", "evening", "tomorrow"]


@pytest.fixture(scope="module")
def orion(tmp_path_factory):
    home = ready_home(tmp_path_factory.mktemp("planned-home"))
    warm.run([sys.executable, "-c", PLANNING], env=environment_of(home), cwd=PROGRAMS, check=True)
    with companion(home) as orion:
        yield orion


def names(answer):
    return [run["name"] for run in json.loads(answer.out)]


def test_planned_runs_come_behind_those_whose_time_has_come(orion):
    assert names(orion("fr", "ls", "--json")) == IN_ORDER
    assert names(orion("fr", "ls", "--json", "--limit", "3")) == IN_ORDER[:3]
    assert names(orion("fr", "ls", "until:+12h", "since:-90m", "--json")) == ["new", "soon", "evening"]
    assert names(orion("fr", "ls", "--sort", "next", "--json"))[-1] == "tomorrow"


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pages_continue_from_started_runs_to_planned_ones(orion, size):
    first = json.loads(orion("fr", "ls", "--json", "--limit", str(size)).out)

    rest = names(orion("fr", "ls", "--json", "--after", first[-1]["id"]))

    assert [run["name"] for run in first] + rest == IN_ORDER


def test_the_last_run_of_a_flow_is_never_a_planned_one(orion):
    (flow,) = json.loads(orion("flow", "ls", "-o", "json").out)

    # None of them was executed, though two of them were due.
    assert orion("flow", "ls", "--columns", "last run").out.split() == ["LAST", "RUN", "-"]
    shown = orion("flow", "inspect", flow["name"]).out.partition("runs:")[2]
    assert [name for name in shown.split() if name in IN_ORDER] == IN_ORDER


def test_flows_begin_with_what_ran_last_and_planned_runs_are_not_last_runs(tmp_path):
    warm.run([sys.executable, "-c", PLANNING], env=environment_of(tmp_path), cwd=PROGRAMS, check=True)
    with companion(tmp_path) as orion:
        orion("run", "shop.py:greet", "-p", "name=Ada")
        recent, named = orion("flow", "ls").out, orion("flow", "ls", "--sort", "name", "-o", "name").out

    lines = [line.split() for line in recent.splitlines()[1:]]
    assert [line[0] for line in lines] == ["greet", "planned"]
    assert lines[1][1] == "-"
    assert named.split() == ["greet", "planned"]
