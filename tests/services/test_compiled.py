"""Compiled queries: they find what the ORM finds, whatever the values, and are built once."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.core.exceptions import EmptyResultSet
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.compiled import Compiled
from runs.models import FlowRun
from tests.factories import NOON, later, make_flow, make_flow_run, make_state
from tests.services.threads import race

pytestmark = pytest.mark.django_db


def counted(build):
    """The query, and the values of each time that it is built."""
    built = []

    def build_and_count(*values):
        built.append(values)
        return build(*values)

    return Compiled(build_and_count), built


def due(ids, before, after, limit):
    """A query with every kind of value, one of them used twice."""
    times = Q(next_scheduled_start_time__lte=before) if before else Q()
    late = Q(next_scheduled_start_time__gt=after) | Q(created__gt=after, next_scheduled_start_time=None)
    return FlowRun.objects.filter(times, late, pk__in=ids).order_by("next_scheduled_start_time", "pk")[:limit]


compiled_due = Compiled(due)


def scheduled(at):
    return make_flow_run(make_state("SCHEDULED", "Scheduled", scheduled_time=later(at)))


# Runs of every example stay until the test ends: they are not among its ids.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    starts=st.lists(st.integers(-3, 3), max_size=5),
    before=st.none() | st.integers(-3, 3),
    after=st.integers(-3, 3),
    limit=st.integers(1, 4),
    others=st.integers(0, 60),
)
def test_a_compiled_query_finds_what_the_orm_finds(starts, before, after, limit, others):
    # Microseconds are left out of the texts of SQLite if they are zero.
    ids = [*(scheduled(at).pk for at in starts), *(uuid4() for _ in range(others))]
    values = (ids, None if before is None else later(before), later(after + 0.25), limit)

    assert compiled_due(*values) == list(due(*values))


def test_a_query_is_built_once_for_other_values_of_the_same_length():
    flow = make_flow()
    first, second = make_flow_run(flow=flow), make_flow_run(flow=flow)
    by_id, built = counted(lambda ids: FlowRun.objects.filter(pk__in=ids))

    found = [by_id([first.pk]), by_id([second.pk]), by_id([first.pk, second.pk]), by_id([second.pk])]

    assert [{run.pk for run in runs} for runs in found] == [
        {first.pk},
        {second.pk},
        {first.pk, second.pk},
        {second.pk},
    ]
    assert len(built) == 2


def test_related_rows_and_columns_are_read_as_usual():
    run = make_flow_run()
    runs = Compiled(lambda ids: FlowRun.objects.select_related("flow").filter(pk__in=ids))
    pairs = Compiled(
        lambda id, moment: FlowRun.objects.filter(pk=id, created__gt=moment).values_list("pk", "flow__name")
    )

    (found,) = runs([run.pk])

    assert found.flow == run.flow
    assert pairs(run.pk, later(-(10**9))) == [(run.pk, run.flow.name)]


def test_a_query_that_can_have_no_rows_is_not_executed(django_assert_num_queries):
    by_id = Compiled(lambda ids: FlowRun.objects.filter(pk__in=ids))

    with django_assert_num_queries(0):
        assert by_id([]) == []
        with pytest.raises(EmptyResultSet):
            by_id.statement([])


def test_a_query_must_not_depend_on_a_value_in_another_way():
    """Otherwise the next call would be answered with the first value."""
    ignorant = Compiled(lambda moment: FlowRun.objects.filter(created__year=moment.year))

    with pytest.raises(ValueError, match="leaves out values"):
        ignorant(NOON)


def test_a_list_of_anything_but_ids_is_refused():
    with pytest.raises(TypeError, match="lists of UUIDs"):
        Compiled(lambda names: FlowRun.objects.filter(name__in=names))(["brave-otter"])


@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_list_leaves_out_its_branch_with_the_other_values_of_the_branch(number):
    ids = [make_flow_run().pk for _ in range(number)]
    other, forever = make_flow_run(), later(10**9)
    query = Compiled(lambda ids, before, id: FlowRun.objects.filter(Q(pk__in=ids, created__lte=before) | Q(pk=id)))

    assert {run.pk for run in query(ids, forever, other.pk)} == {*ids, other.pk}


def test_a_value_used_in_another_way_is_found_next_to_an_empty_list():
    ignorant = Compiled(lambda ids, moment: FlowRun.objects.filter(Q(pk__in=ids) | Q(created__year=moment.year)))

    with pytest.raises(ValueError, match="leaves out values"):
        ignorant([], NOON)


@pytest.mark.django_db(transaction=True)
def test_threads_use_their_own_connections():
    runs = [make_flow_run().pk for _ in range(4)]
    by_id = Compiled(lambda id: FlowRun.objects.filter(pk=id).values_list("pk"))

    found = race(lambda run: [by_id(run) for _ in range(20)], runs)

    assert found == [[[(run,)]] * 20 for run in runs]


def test_long_lists_are_answered_and_not_kept():
    run = make_flow_run()
    by_id, built = counted(lambda ids: FlowRun.objects.filter(pk__in=ids))
    many = [run.pk, *(UUID(int=number) for number in range(200))]

    assert by_id(many) == by_id(many) == [run]
    assert len(built) == 2
