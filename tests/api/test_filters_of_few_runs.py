"""Filters, sorts and counts over one or two runs that a test makes itself; `test_filters` has twelve in all tests."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection

from tests.factories import later, make_flow_run, make_state, make_task_run

pytestmark = [pytest.mark.django_db, pytest.mark.undivided]


def test_a_count_of_runs_without_deployment_is_not_negative_while_others_are_created(api):
    """The number of all runs less that of the others: another client creates one of these between the two queries."""
    made = []

    def with_another(execute, sql, params, many, context):
        found = execute(sql, params, many, context)
        if "runs_rollup" in sql and not made:
            made.append("")
            make_flow_run(deployment_id=UUID(int=1))
        return found

    with connection.execute_wrapper(with_another):
        number = api.send("/flow_runs/count", {"flow_runs": {"deployment_id": {"is_null_": True}}}).json()

    assert made
    assert number == 0


@pytest.mark.parametrize("kind", ["flow_runs", "task_runs"])
def test_as_many_tags_may_be_asked_for_as_a_run_has(api, kind):
    tags = [f"tag-{number}" for number in range(1000)]
    make = make_flow_run if kind == "flow_runs" else make_task_run
    all_of_them, not_the_last = make(tags=tags), make(tags=tags[:-1])

    found = api.send(f"/{kind}/filter", {kind: {"tags": {"all_": tags}}}).json()
    but_one = api.send(f"/{kind}/filter", {kind: {"tags": {"all_": tags[:-1]}}}).json()

    assert [run["id"] for run in found] == [str(all_of_them.id)]
    assert {run["id"] for run in but_one} == {str(all_of_them.id), str(not_the_last.id)}


def test_runs_that_have_not_started_sort_by_when_they_are_expected(api):
    late = make_flow_run(make_state("SCHEDULED", scheduled_time=later(60)))
    early = make_flow_run("RUNNING", now=later(30))

    found = api.send("/flow_runs/filter", {"sort": "START_TIME_ASC"}).json()

    assert [run["id"] for run in found] == [str(early.id), str(late.id)]
