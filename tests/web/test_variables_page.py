"""Variables in the pages: listed, made, changed, deleted."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from deployments.blocks.services.variables import create_variable
from deployments.models import Variable
from tests.web.conftest import HOSTILE


def make_variable(name: str = "region", value: str = "eu", **fields) -> Variable:
    return create_variable(name=name, value=value, now=timezone.now(), **fields)


def test_variables_are_listed_and_found_by_a_part_of_their_name(browser: Client):
    make_variable("region", "eu-west", tags=["prod"])
    make_variable("bucket", "s3")

    every, some = (browser.get(path).content.decode() for path in ("/variables", "/variables?q=REG"))

    for text in ("region", "eu-west", "prod", "bucket"):
        assert text in every
    assert "bucket" not in some


def test_a_variable_is_made_changed_and_deleted(browser: Client):
    browser.post("/variables/new", {"name": "region", "value": "eu", "tags": "prod, web,,prod"})
    made = Variable.objects.get()
    shown = browser.get(f"/variables/{made.pk}").content.decode()
    browser.post(f"/variables/{made.pk}", {"name": "region", "value": " us\n", "tags": ""})
    changed = Variable.objects.get()
    browser.post(f"/variables/{made.pk}/delete")

    assert made.tags == ["prod", "web"]
    assert "prod, web" in shown
    assert (changed.value, changed.tags) == (" us\n", [])
    assert not Variable.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [({"name": "Big"}, "Only small letters"), ({"name": "region"}, "region"), ({"value": "x" * 5001}, "at most 5000")],
)
def test_errors_are_shown_at_the_form(browser: Client, wrong: dict, shown: str):
    make_variable("region")

    page = browser.post("/variables/new", {"name": "fresh", "value": "x", **wrong}).content.decode()

    assert shown in page
    assert Variable.objects.count() == 1


def test_the_next_page_goes_on_after_the_last_name(browser: Client):
    for place in range(120):
        make_variable(f"v{place:03}")

    first = browser.get("/variables")
    second = browser.get("/variables" + first.context["next"])
    names = [one.name for answer in (first, second) for one in answer.context["found"].rows]

    assert names == [f"v{place:03}" for place in range(120)]


def test_the_page_without_variables_explains_what_they_are(browser: Client, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        page = browser.get("/variables").content.decode()

    assert "No variables yet" in page
    assert browser.get(f"/variables/{uuid4()}").status_code == 404


def test_values_of_others_are_text(browser: Client):
    variable = make_variable(value=HOSTILE, tags=[HOSTILE])

    pages = [browser.get(path).content.decode() for path in ("/variables", f"/variables/{variable.pk}")]

    assert all(HOSTILE not in page for page in pages)
