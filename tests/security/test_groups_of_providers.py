"""Which groups somebody joins who signs on by a provider: those of the same name, and of admins only what is mapped."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured

from orion_site.accounts.single_sign_on import user_of
from orion_site.accounts.users import create_group
from orion_site.env import env_mapping

pytestmark = pytest.mark.django_db


def joined(settings: Any, groups: Any, mapping: dict[str, str]) -> list[str]:
    settings.ORION_OIDC_ISSUER, settings.ORION_OIDC_GROUPS_CLAIM = "https://id.example", "groups"
    settings.ORION_OIDC_GROUPS = mapping
    user = user_of({"sub": "1", "preferred_username": "rita", "groups": groups})
    return sorted(user.groups.values_list("name", flat=True))


@pytest.fixture(autouse=True)
def night_shift(ada: User) -> None:
    create_group(name="night-shift", roles=["viewer"])


@pytest.mark.parametrize(
    ("groups", "mapping", "expected"),
    [
        (["night-shift", "nowhere"], {}, ["night-shift"]),
        # Anybody may have made a group of this name at the provider.
        (["admins", "night-shift"], {}, ["night-shift"]),
        ("admins", {}, []),
        (["admins"], {"admins": "admins"}, ["admins"]),
        (["platform"], {"platform": "admins"}, ["admins"]),
        (["admins"], {"platform": "admins"}, []),
        (["okta-night"], {"okta-night": "night-shift"}, ["night-shift"]),
        # What is mapped means nothing else besides.
        (["night-shift"], {"night-shift": "nowhere"}, []),
    ],
)
def test_groups(settings: Any, groups: Any, mapping: dict[str, str], expected: list[str]):
    assert joined(settings, groups, mapping) == expected


def test_a_group_of_another_name_with_the_role_of_admins_is_not_a_way_around(settings: Any):
    create_group(name="platform", roles=["admin", "viewer"])

    assert joined(settings, ["platform"], {}) == []


def test_a_user_who_leaves_a_group_at_the_provider_leaves_it_here(settings: Any):
    assert joined(settings, ["platform"], {"platform": "admins"}) == ["admins"]

    assert joined(settings, [], {"platform": "admins"}) == []


@pytest.mark.parametrize("text", ["admins", "=admins", "a=b, c="])
def test_an_invalid_pair_stops_the_start(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("ORION_OIDC_GROUPS", text)

    with pytest.raises(ImproperlyConfigured, match="names no pairs"):
        env_mapping("ORION_OIDC_GROUPS")
