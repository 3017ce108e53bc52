"""The query language becomes the filters of the API."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from orionflow.cli.query import flow_filters, flow_run_filters, task_run_filters
from orionflow.cli.times import Clock

CLOCK = Clock(datetime(2026, 11, 21, 12, 0, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("", {}),
        ("state:failed", {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}}),
        ("state:Late", {"flow_runs": {"state": {"name": {"any_": ["Late"]}}}}),
        ("state:awaitingretry", {"flow_runs": {"state": {"name": {"any_": ["AwaitingRetry"]}}}}),
        ("state:bad", {"flow_runs": {"state": {"type": {"any_": ["FAILED", "CRASHED"]}}}}),
        (
            "state:failed,late",
            {"flow_runs": {"state": {"operator": "or_", "type": {"any_": ["FAILED"]}, "name": {"any_": ["Late"]}}}},
        ),
        ("flow:etl,ml", {"flows": {"name": {"any_": ["etl", "ml"]}}}),
        ("flow:etl-*", {"flows": {"name": {"like_": "etl-"}}}),
        ("otter", {"flow_runs": {"name": {"like_": "otter"}}}),
        ('name:"brave otter"', {"flow_runs": {"name": {"any_": ["brave otter"]}}}),
        ("tag:a tag:b,c", {"flow_runs": {"tags": {"all_": ["a", "b", "c"]}}}),
        ("since:-24h", {"flow_runs": {"expected_start_time": {"after_": "2026-11-20T12:00:00+00:00"}}}),
        ("is:subflow", {"flow_runs": {"parent_task_run_id": {"is_null_": False}}}),
        ("task:load-0", {"task_runs": {"name": {"any_": ["load-0"]}}}),
    ],
)
def test_terms_become_filters_of_flow_runs(query, filters):
    assert flow_run_filters([query], CLOCK) == filters


def test_several_terms_and_several_words_are_joined():
    together = flow_run_filters(["state:failed flow:etl", "since:-1h", "until:now"], CLOCK)

    assert together["flow_runs"]["state"] == {"type": {"any_": ["FAILED"]}}
    assert set(together["flow_runs"]["expected_start_time"]) == {"after_", "before_"}
    assert together["flows"] == {"name": {"any_": ["etl"]}}


def test_terms_of_task_runs_reach_their_flow_run():
    filters = task_run_filters(["run:brave-otter state:failed"], CLOCK)

    assert filters == {
        "flow_runs": {"name": {"any_": ["brave-otter"]}},
        "task_runs": {"state": {"type": {"any_": ["FAILED"]}}},
    }


def test_flows_can_be_asked_for_by_the_states_of_their_runs():
    assert flow_filters(["state:failed tag:x"], CLOCK) == {
        "flow_runs": {"state": {"type": {"any_": ["FAILED"]}}},
        "flows": {"tags": {"all_": ["x"]}},
    }


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("stat:failed", "there is no filter 'stat'"),
        ("state:", "has no value"),
        ("is:nothing", "is:top or is:subflow"),
        ('name:"open', "open quotation"),
        ("state:failed state:crashed", "join values with a comma"),
        ("since:whenever", "is not a time"),
        ("state:nope", "no state 'nope'; there are scheduled"),
        ("state:faled", "did you mean failed"),
        ("state:failed,lat", "did you mean late"),
        ("flo:etl", "did you mean flow"),
    ],
)
def test_an_unreadable_query_is_explained(query, words):
    with pytest.raises(click.UsageError, match=words):
        flow_run_filters([query], CLOCK)
