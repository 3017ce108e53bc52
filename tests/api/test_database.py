"""The database as a whole, under /admin/database."""

from __future__ import annotations

import pytest

from runs.models import Flow
from tests.factories import make_flow

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("clear", {"confirm": True}, 403),
        ("drop", {"confirm": True}, 403),
        ("create", {"confirm": True}, 204),
        ("clear", None, 400),
        ("drop", {"confirm": False}, 400),
        ("create", None, 400),
    ],
)
def test_nothing_is_emptied_over_the_network(api, what, body, status):
    make_flow()

    answer = api.send(f"/admin/database/{what}", body)

    assert answer.status_code == status
    assert Flow.objects.count() == 1
