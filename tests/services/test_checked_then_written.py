"""Another request changes what one has just checked, before that one writes. Each case is a lock that prevents it."""

from __future__ import annotations

from functools import partial

import pytest
from django.utils import timezone

from deployments.blocks.services.blocks import update_block_document
from deployments.definitions.services.deployments import update_deployment
from deployments.errors import BlockHoldsItself, CalendarNotFound, WorkPoolNotFound
from deployments.models import BlockReference, Deployment, Schedule
from deployments.schedules.services.calendars import delete_calendar
from deployments.schedules.services.schedules import NewSchedule, add_schedules, update_schedule
from deployments.work.services.work_pools import create_work_pool, delete_work_pool
from deployments.work.services.work_queues import delete_work_queue
from orion_site.accounts.attempts import begin_attempt
from orion_site.accounts.errors import LastAdmin
from orion_site.accounts.models import SignInFailures
from orion_site.accounts.users import create_group, create_user, delete_user, set_active, set_groups, set_roles
from orionflow.contract.kinds import AGENT_POOL
from runs.errors import SavedSearchNotFound
from runs.models import SavedSearch
from runs.saved_searches.saved_views import change_view, save_view
from runs.saved_searches.services import delete_saved_search
from tests.conftest import DATABASE
from tests.factories import NOON
from tests.security.askers import PASSWORD
from tests.services.dispatching import make_deployment, make_queue
from tests.services.threads import interleaved
from tests.web.deployments import HOURLY
from tests.web.test_blocks_page import make_block, make_schema
from tests.web.test_calendars_page import make_calendar

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite locks the whole file"),
]


def table(model):
    return f'"{model._meta.db_table}"'


DISABLE_BOB = partial(set_active, name="bob", is_active=False)


@pytest.mark.parametrize(
    ("written", "one", "other"),
    [
        ('UPDATE "auth_user"', partial(set_active, name="ada", is_active=False), DISABLE_BOB),
        ('DELETE FROM "auth_user_groups"', partial(set_groups, name="ada", groups=[]), DISABLE_BOB),
        ("DELETE FROM", partial(delete_user, name="ada"), DISABLE_BOB),
        ("DELETE FROM", partial(set_roles, name="theirs", roles=["viewer"]), DISABLE_BOB),
        (
            'DELETE FROM "auth_user_groups"',
            partial(set_groups, name="ada", groups=["others"]),
            partial(set_roles, name="others", roles=["viewer"]),
        ),
    ],
    ids=["disable", "demote", "delete", "change the group", "move to a group that changes"],
)
def test_of_the_last_two_admins_one_stays(written, one, other):
    for name, group in (("ada", "theirs"), ("bob", "others")):
        create_group(name=group, roles=["admin"])
        create_user(name=name, password=PASSWORD, groups=[group])

    refusals = interleaved(written, one, other)

    assert [type(refusal) for refusal in refusals] == [type(None), LastAdmin]


def test_first_attempts_for_a_name_and_an_address_count_each():
    attempt = partial(begin_attempt, name="ada", address="192.0.2.1", now=NOON)

    interleaved(f"INSERT INTO {table(SignInFailures)}", attempt, attempt)

    assert set(SignInFailures.objects.values_list("count", flat=True)) == {2}


def test_a_schedule_does_not_lose_a_calendar_that_is_deleted_as_it_takes_it():
    calendar, deployment = make_calendar(), make_deployment()
    now = {"now": timezone.now()}
    (schedule,) = add_schedules(deployment_id=deployment.pk, new=[NewSchedule(definition=HOURLY)], **now)
    take = partial(update_schedule, deployment_id=deployment.pk, schedule_id=schedule.pk, changes={}, **now)

    refusals = interleaved(
        f"DELETE FROM {table(Schedule.calendars.through)}",
        partial(delete_calendar, calendar_id=calendar.pk),
        partial(take, calendars=["holidays"]),
    )

    assert [type(one) for one in refusals] == [type(None), CalendarNotFound]


def test_a_deployment_does_not_lose_a_queue_that_is_deleted_as_it_takes_it():
    queue, deployment = make_queue("gpu"), make_deployment()

    interleaved(
        f"UPDATE {table(Deployment)}",
        partial(delete_work_queue, queue_id=queue.pk, force=False),
        partial(update_deployment, deployment_id=deployment.pk, changes={}, queue_name="gpu", now=NOON),
    )

    deployment.refresh_from_db()
    assert deployment.work_queue.name == "gpu"


def test_a_deployment_does_not_lose_a_pool_that_is_deleted_as_it_takes_it():
    create_work_pool(columns={"name": "cluster", "type": AGENT_POOL}, now=NOON)
    deployment = make_deployment()

    refusals = interleaved(
        f"UPDATE {table(Deployment)}",
        partial(delete_work_pool, name="cluster", force=False),
        partial(
            update_deployment,
            deployment_id=deployment.pk,
            changes={},
            pool_name="cluster",
            queue_name="default",
            now=NOON,
        ),
    )

    assert [type(one) for one in refusals] == [type(None), WorkPoolNotFound]


def test_blocks_never_refer_to_each_other_in_a_circle():
    schema = make_schema()
    first, last = make_block(schema, "first"), make_block(schema, "last")

    def refer(one, to):
        content = {"other": {"$ref": {"block_document_id": str(to.pk)}}}
        update_block_document(document_id=one.pk, content=content, merge=True, block_schema_id=None, now=NOON)

    refusals = interleaved(
        f"INSERT INTO {table(BlockReference)}", partial(refer, first, last), partial(refer, last, first)
    )

    assert [type(one) for one in refusals] == [type(None), BlockHoldsItself]


@pytest.mark.parametrize(
    ("written", "works", "refused", "left"),
    [
        ("UPDATE", ["rename", "delete"], [], 0),
        ("UPDATE", ["replace", "delete"], [], 0),
        ("DELETE FROM", ["delete", "rename"], [SavedSearchNotFound], 0),
        ("DELETE FROM", ["delete", "replace"], [], 1),
        ("DELETE FROM", ["delete", "delete"], [SavedSearchNotFound], 0),
    ],
)
def test_a_view_that_is_deleted_as_it_is_changed_is_not_found(written, works, refused, left):
    view = save_view(list_name="runs", name="Mine", query="state=late", now=NOON)
    doing = {
        "rename": partial(change_view, search_id=view.pk, name="Ours", visibility=None, now=NOON),
        "replace": partial(save_view, list_name="runs", name="Mine", query="state=failed", now=NOON),
        "delete": partial(delete_saved_search, search_id=view.pk),
    }

    refusals = interleaved(f"{written} {table(SavedSearch)}", *(doing[work] for work in works))

    assert [type(one) for one in refusals if one] == refused
    assert SavedSearch.objects.count() == left
