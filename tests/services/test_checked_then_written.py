"""Another request changes what one has just checked, before that one writes. Each case is a lock that prevents it."""

from __future__ import annotations

from functools import partial

import pytest

from orion_site.accounts.attempts import begin_attempt
from orion_site.accounts.errors import LastAdmin
from orion_site.accounts.models import SignInFailures
from orion_site.accounts.users import create_group, create_user, delete_user, set_active, set_groups, set_roles
from tests.conftest import DATABASE
from tests.factories import NOON
from tests.security.askers import PASSWORD
from tests.services.threads import interleaved

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(DATABASE == "sqlite", reason="SQLite locks the whole file"),
]


def table(model):
    return f'"{model._meta.db_table}"'


@pytest.mark.parametrize(
    ("written", "remove"),
    [
        ('UPDATE "auth_user"', partial(set_active, name="ada", is_active=False)),
        ('DELETE FROM "auth_user_groups"', partial(set_groups, name="ada", groups=[])),
        ("DELETE FROM", partial(delete_user, name="ada")),
        ("DELETE FROM", partial(set_roles, name="theirs", roles=["viewer"])),
    ],
    ids=["disable", "demote", "delete", "change the group"],
)
def test_of_the_last_two_admins_one_stays(written, remove):
    for name, group in (("ada", "theirs"), ("bob", "others")):
        create_group(name=group, roles=["admin"])
        create_user(name=name, password=PASSWORD, groups=[group])

    refusals = interleaved(written, remove, partial(set_active, name="bob", is_active=False))

    assert [type(one) for one in refusals] == [type(None), LastAdmin]


def test_first_attempts_for_a_name_and_an_address_count_each():
    attempt = partial(begin_attempt, name="ada", address="192.0.2.1", now=NOON)

    interleaved(f"INSERT INTO {table(SignInFailures)}", attempt, attempt)

    assert set(SignInFailures.objects.values_list("count", flat=True)) == {2}
