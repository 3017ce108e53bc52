"""Policies under /flow_run_notification_policies/."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.api.blocks import login_schema, make_document

pytestmark = pytest.mark.django_db


@pytest.fixture
def block(api):
    return make_document(api, login_schema(api)).json()["id"]


def make(api, block, **fields):
    asked = {"state_names": ["Failed"], "tags": [], "block_document_id": block, **fields}
    return api.send("/flow_run_notification_policies/", asked)


def test_a_policy_is_stored_and_read(api, block, counted):
    stored = make(api, block, message_template="{flow_name} failed")

    with counted("read notification policy"):
        read = api.read(f"/flow_run_notification_policies/{stored.json()['id']}")

    assert stored.status_code == 201
    assert read.json() == stored.json()
    assert (read.json()["is_active"], read.json()["message_template"]) == (True, "{flow_name} failed")


def test_policies_are_listed_in_the_order_of_their_making(api, block, counted):
    made = [make(api, block).json()["id"], make(api, block, is_active=False).json()["id"]]
    active = {"flow_run_notification_policy_filter": {"is_active": {"eq_": True}}}

    with counted("filter notification policies"):
        every = api.send("/flow_run_notification_policies/filter").json()
    some = api.send("/flow_run_notification_policies/filter", active).json()

    assert [one["id"] for one in every] == made
    assert [one["id"] for one in some] == made[:1]


def test_a_policy_is_changed_field_by_field(api, block):
    path = f"/flow_run_notification_policies/{make(api, block, message_template='x').json()['id']}"

    answer = api.call("PATCH", path, {"is_active": False, "message_template": None})

    changed = api.read(path).json()
    assert answer.status_code == 204
    assert (changed["is_active"], changed["message_template"], changed["state_names"]) == (False, None, ["Failed"])


def test_a_policy_is_deleted_once(api, block):
    path = f"/flow_run_notification_policies/{make(api, block).json()['id']}"

    answers = [api.call("DELETE", path).status_code for _ in range(2)]

    assert answers == [204, 404]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"block_document_id": str(uuid4())}, 409),
        ({"message_template": "{flow_run_name.__class__}"}, 422),
        ({"message_template": "{0}"}, 422),
        ({"message_template": "{flow_name"}, 422),
        ({"state_names": None}, 422),
        ({"colour": "red"}, 422),
    ],
)
def test_a_policy_that_could_not_be_kept_is_refused(api, block, asked, status):
    assert make(api, block, **asked).status_code == status


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_missing_policy_is_404(api, method):
    body = {} if method == "PATCH" else None

    answer = api.call(method, f"/flow_run_notification_policies/{uuid4()}", body)

    assert answer.status_code == 404


def test_the_types_of_work_pools_are_listed_with_their_templates(api):
    answer = api.read("/collections/views/aggregate-worker-metadata").json()

    template = answer["prefect"]["process"]["default_base_job_configuration"]
    assert template["job_configuration"]["command"] == "{{ command }}"
    assert api.read("/collections/views/nothing").status_code == 404
