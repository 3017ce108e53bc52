"""Forms of users who may not read secrets: the stars that they show never replace a secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from deployments.models import Deployment
from orion_site.accounts.users import create_group, create_user
from orionflow.contract.masking import known
from runs.models import FlowRun
from tests.security.askers import PASSWORD, Asker
from tests.web.deployments import make_deployment
from tests.web.test_two_edits import form_of

pytestmark = pytest.mark.django_db
SECRET = {"url": "pg://u:correct & horse@db"}
SCHEMA = {"properties": {"url": {"type": "string"}}}


def signed_in(*roles: str) -> Asker:
    create_group(name="some", roles=roles)
    create_user(name="dee", password=PASSWORD, groups=["some"])
    client = Asker()
    assert client.post("/login", {"username": "dee", "password": PASSWORD}).status_code == 302
    return client


@pytest.fixture
def one(ada: User) -> Deployment:
    made = make_deployment("nightly")
    Deployment.objects.filter(pk=made.pk).update(parameters=SECRET)
    known.learn(["correct & horse"])
    return made


def edited(one: Deployment, client: Asker, **changes: Any) -> tuple[int, Any]:
    address = reverse("deployments:edit-deployment", args=[one.pk])
    answer = client.post(address, {**form_of(client, address), **changes})
    return answer.status_code, Deployment.objects.values_list("parameters", flat=True).get(pk=one.pk)


def test_a_secret_that_was_sent_back_as_stars_stays(one: Deployment):
    client = signed_in(f"deployer:deployment:{one.flow.name}/{one.name}")
    shown = form_of(client, reverse("deployments:edit-deployment", args=[one.pk]))["parameters"][0]

    assert shown == '{\n  "url": "pg://u:********@db"\n}'
    assert edited(one, client, description="new") == (302, SECRET)
    assert edited(one, client, parameters=shown.replace("\n", "\r\n")) == (302, SECRET)


def test_stars_beside_a_change_are_refused_and_other_values_are_accepted(one: Deployment):
    client = signed_in(f"deployer:deployment:{one.flow.name}/{one.name}")

    assert edited(one, client, parameters='{"url": "pg://u:********@db", "n": 1}') == (422, SECRET)
    assert edited(one, client, parameters='{"url": "pg://other"}') == (302, {"url": "pg://other"})


def test_who_may_read_secrets_may_write_stars(one: Deployment):
    client = signed_in("deployer")

    assert edited(one, client, parameters='{"url": "********"}') == (302, {"url": "********"})


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["as JSON", "in fields"])
def test_a_run_gets_the_secrets_that_its_form_shows_as_stars(one: Deployment, schema: Any):
    Deployment.objects.filter(pk=one.pk).update(parameter_openapi_schema=schema)
    client, address = signed_in("operator"), reverse("deployments:run-with", args=[one.pk])
    form = form_of(client, address)

    name = "p/url" if schema else "raw"
    refused = client.post(address, {**form, name: form[name][0].replace("db", "other")})
    made = client.post(address, form)

    assert "********" in form[name][0]
    assert (refused.status_code, made.status_code) == (422, 302)
    assert FlowRun.objects.get().parameters == SECRET
