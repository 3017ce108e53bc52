"""No user or group gets a name that readers would confuse with another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from orion_site.accounts.errors import NameLooksAlike, NameTaken
from orion_site.accounts.local_owner import OWNER_NAME
from orion_site.accounts.look_alikes import seen_as
from orion_site.accounts.users import GROUP_OF_ROLE, create_group, create_user
from tests.security.askers import PASSWORD

pytestmark = pytest.mark.django_db

# In another case, with wide letters, with letters of other alphabets, and with ligatures.
LOOK_ALIKES = ["EVE.finn", "\uff45ve.finn", "ev\u0435.finn", "\u0395ve.finn", "eve.\ufb01nn"]
MAKERS: list[Callable[[str], Any]] = [
    lambda name: create_user(name=name, password=PASSWORD, roles=["viewer"]),
    lambda name: create_group(name=name, roles=["viewer"]),
]


@pytest.mark.parametrize("make", MAKERS, ids=["user", "group"])
@pytest.mark.parametrize("name", LOOK_ALIKES, ids=ascii)
def test_a_name_that_looks_like_an_existing_one_is_refused(make: Callable[[str], Any], name: str):
    make("eve.finn")
    before = (User.objects.count(), Group.objects.count())

    with pytest.raises(NameLooksAlike, match=r"There is a \w+ 'eve\.finn' already, which looks like"):
        make(name)

    assert (User.objects.count(), Group.objects.count()) == before


@pytest.mark.parametrize("make", MAKERS, ids=["user", "group"])
def test_the_same_name_is_taken_and_another_one_is_not(make: Callable[[str], Any]):
    make("eve")
    make("eva")
    make("\u0418\u0432\u0430\u043d")

    with pytest.raises(NameTaken, match="with the name 'eve' already"):
        make("eve")


def test_groups_that_stand_for_roles_have_no_look_alikes_before_they_are_created():
    for name in GROUP_OF_ROLE.values():
        with pytest.raises(NameLooksAlike):
            create_group(name=name.upper(), roles=["viewer"])

    assert not Group.objects.exists()


def test_the_local_owner_has_no_look_alike():
    User.objects.filter(username=OWNER_NAME).delete()

    with pytest.raises(NameLooksAlike):
        create_user(name=OWNER_NAME.title(), password=PASSWORD)


def test_an_exact_match_is_reported_before_a_look_alike():
    User.objects.create_user("EVE")
    User.objects.create_user("eve")

    with pytest.raises(NameTaken, match="with the name 'eve' already"):
        create_user(name="eve", password=PASSWORD)


@pytest.mark.parametrize("letter", "\u03f2\u03f9\u0441\u0421\uff43")
def test_letters_that_are_drawn_like_a_c_are_seen_as_one(letter: str):
    assert seen_as(letter) == "c"
