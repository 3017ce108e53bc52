"""Forms refuse names that people cannot read, and say which character is in the way."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.test import Client
from django.urls import reverse

from deployments.pages import backfill_form, calendars, deployment_forms, discovery_forms
from deployments.pages import forms as deployment_pages
from events.pages import forms as event_pages
from orion_site.accounts.errors import BadName
from orion_site.accounts.users import create_group, create_user
from runs.models import SavedSearch

BAD = "pay\u202elor"
MODULES = [backfill_form, calendars, deployment_forms, discovery_forms, deployment_pages, event_pages]
# A variable has letters, digits and underscores; a tag is free text.
FREE = {"VariableForm", "TagLimitForm", "NewTagLimitForm"}


def named_forms() -> list[Any]:
    found = {
        kind: field
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, forms.BaseForm) and kind.__module__ == module.__name__
        for field in {"name", "tag"} & getattr(kind, "base_fields", {}).keys()
    }
    return [pytest.param(kind, field, id=kind.__name__) for kind, field in found.items() if kind.__name__ not in FREE]


@pytest.mark.parametrize(("kind", "field"), named_forms())
def test_a_form_refuses_it(kind: Any, field: str):
    with pytest.raises(forms.ValidationError, match=r"U\+202E RIGHT-TO-LEFT OVERRIDE"):
        kind.base_fields[field].clean(BAD)


@pytest.mark.django_db
def test_a_view_is_not_saved_by_it(browser: Client):
    answer = browser.post(reverse("runs:save-view", args=["runs"]), {"name": BAD, "query": "state=failed"}, follow=True)

    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in answer.content.decode()
    assert not SavedSearch.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["\u3164", "eve\u3164", "\u115f"], ids=ascii)
def test_users_and_groups_have_no_letters_that_are_drawn_as_nothing(name: str):
    with pytest.raises(BadName):
        create_user(name=name, password=None)
    with pytest.raises(BadName):
        create_group(name=name, roles=["viewer"])
