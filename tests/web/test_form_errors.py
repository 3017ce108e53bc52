"""A form that was refused says above itself which fields are wrong, and leads to them: they may be far below."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

FORMS = {
    "deployments:new-tag-limit": "",
    "deployments:new-global-limit": "",
    "deployments:new-pool": "",
    "deployments:new-variable": "",
    "deployments:new-calendar": "",
    "deployments:new-deployment": "",
    "events:new-automation": "?when=state&do=do-nothing",
    "events:new-policy": "",
    "new-user": "",
}


@pytest.mark.parametrize("name", FORMS)
def test_the_wrong_fields_are_named_above_the_form_with_links_to_them(browser: Client, name: str):
    answer = browser.post(reverse(name) + FORMS[name], {"nothing": "x"})

    page = answer.content.decode()
    linked = re.findall(
        r'<a href="#([\w-]+)">([^<]+)</a>', page.partition('role="alert">Look at ')[2].partition("</div>")[0]
    )
    form = answer.context["form"]
    wrong = [field for field in form.visible_fields() if field.errors]
    assert linked == [(field.auto_id, field.label) for field in wrong] != []
    assert all(f'id="{target}"' in page for target, _ in linked)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("deployments:new-pool", {"type": "process", "base_job_template": "{}"}),
        ("deployments:new-variable", {"value": "x"}),
        ("deployments:new-global-limit", {"limit": "1", "slot_decay_per_second": "0", "active": "on"}),
        ("new-group", {}),
    ],
)
def test_a_name_that_is_taken_is_refused_at_its_field(browser: Client, name: str, values: dict[str, str]):
    address = reverse(name)
    sent = {"name": "taken", **values}

    first, second = browser.post(address, sent), browser.post(address, sent)

    assert first.status_code == 302
    assert "taken" in str(second.context["form"].errors["name"])
    assert second.context["form"].non_field_errors() == []


def test_a_form_that_was_not_sent_names_no_field(browser: Client):
    assert "Look at <a" not in browser.get(reverse("deployments:new-tag-limit")).content.decode()
