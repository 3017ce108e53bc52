"""Environments: stored once under the digest of what they hold, deleted when no run names them any more."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deployments.upkeep.selectors.old_rows import Ages
from deployments.upkeep.services.retention import purge
from orionflow.contract.ids import environment_id
from runs.environments.services import store_environment
from runs.models import Environment
from tests.factories import NOON, make_flow_run

pytestmark = pytest.mark.django_db

CONTENT = {"python": "3.11.2", "platform": "linux", "commit": "", "files": "", "packages": {"pandas": "2.3"}}


def test_an_environment_that_is_reported_again_is_stored_once():
    ids = {store_environment(content=CONTENT, now=NOON) for _ in range(3)}

    assert ids == {environment_id(CONTENT)}
    assert Environment.objects.get().packages == {"pandas": "2.3"}


def test_another_content_is_another_environment():
    store_environment(content=CONTENT, now=NOON)
    store_environment(content={**CONTENT, "commit": "4fa9c1d2"}, now=NOON)

    assert Environment.objects.count() == 2


def test_an_environment_is_deleted_with_the_last_run_that_names_it():
    named = store_environment(content=CONTENT, now=NOON)
    store_environment(content={**CONTENT, "commit": "4fa9c1d2"}, now=NOON)
    make_flow_run("RUNNING", environment_id=named)

    purge(ages=Ages(runs=timedelta(days=30)), now=NOON + timedelta(days=3), pause_seconds=0)

    assert [one.pk for one in Environment.objects.all()] == [named]


def test_a_new_environment_is_kept_until_its_first_run():
    store_environment(content=CONTENT, now=NOON)

    purge(ages=Ages(runs=timedelta(days=30)), now=NOON + timedelta(hours=1), pause_seconds=0)

    assert Environment.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"packages": {"a b": "1"}},
        {"packages": {"pandas": "https://ada:secret@example.org/simple"}},
        {"packages": {f"p{number}": "1" for number in range(2_001)}},
        {"commit": "../../etc/passwd"},
        {"index": "https://example.org"},
    ],
)
def test_invalid_packages_versions_and_commits_are_refused(api, change):
    assert api.send("/environments/", {**CONTENT, **change}).status_code == 422


def test_only_the_content_decides_under_which_id_it_is_stored(api):
    assert api.send("/environments/", CONTENT).status_code == 204
    assert api.read(f"/environments/{environment_id(CONTENT)}").json()["packages"] == {"pandas": "2.3"}
