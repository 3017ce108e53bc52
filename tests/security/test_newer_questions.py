"""Comparisons, retries, results, problems and exports: a second run that a question names is seen like the first."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Model

from orion_site.accounts.run_tokens import token_of
from orion_site.accounts.users import create_group, create_user
from runs.models import FlowRun
from tests.security.askers import Asker, key_of
from tests.security.worlds import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def birch(db: None) -> World:
    return make_world("birch")


@pytest.fixture
def cedar(db: None) -> World:
    return make_world("cedar")


def in_part(role: str = "operator") -> Asker:
    create_group(name="cedar-team", roles=[f"{role}:deployment:cedar-flow/cedar-daily"])
    return Asker(key_of(create_user(name="olga", groups=["cedar-team"])))


def token(world: World) -> Asker:
    run = FlowRun.objects.get(pk=world.id_of("runs_flowrun"))
    return Asker(token_of(run.pk, run.epoch, None))


def finished(world: World) -> str:
    """A run of the world that has ended, with a result."""
    run = FlowRun.objects.get(name=f"{world.word}-failed")
    return str(run.pk)


def questions(own: World, other: World) -> list[tuple[str, str, Any]]:
    mine, theirs = own.id_of("runs_flowrun"), other.id_of("runs_flowrun")
    ended, their_end = finished(own), finished(other)
    asked = [
        ("GET", f"/api/flow_runs/{mine}/diff?base={theirs}", None),
        ("GET", f"/api/flow_runs/{theirs}/diff?base={mine}", None),
        ("GET", f"/runs/{mine}..{theirs}", None),
        ("GET", f"/runs/{theirs}..{mine}", None),
        ("GET", f"/runs/{theirs}/diff", None),
        ("GET", f"/api/flow_runs/{theirs}/export", None),
        ("GET", f"/api/flow_runs/{theirs}/time", None),
        ("GET", f"/api/flow_runs/{their_end}/retries", None),
        ("GET", f"/runs/{their_end}/retry-from", None),
        ("POST", f"/api/flow_runs/{their_end}/retry/preview", {"from_tasks": ["@failed"]}),
        ("POST", f"/api/flow_runs/{their_end}/retry", {"from_tasks": ["@failed"]}),
        ("POST", f"/api/flow_runs/{their_end}/retry", {"from_tasks": ["@failed"], "new_run": True}),
        ("POST", f"/api/flow_runs/{ended}/recorded", {"source_id": theirs}),
        ("POST", f"/api/flow_runs/{mine}/recorded", {"source_id": their_end}),
        ("POST", f"/api/flow_runs/{theirs}/retries/outcome", {"attempt": 1, "reused": 1, "again": 1, "new": 0}),
    ]
    problem = problem_of(other)
    if problem is not None:
        asked += [
            ("GET", f"/api/problems/{problem}", None),
            ("GET", f"/problems/{problem}", None),
            ("POST", f"/api/problems/{problem}/retry/preview", {}),
            ("POST", f"/api/problems/{problem}/retry", {}),
            ("POST", f"/api/problems/{problem}/mute", {}),
            ("POST", f"/api/problems/{problem}/resolve", {}),
            ("POST", f"/api/problems/{problem}/assign", {"assignee": "olga"}),
        ]
    return asked


def problem_of(world: World) -> Any:
    row: Model | None = world.rows.get("runs_problem")
    return row and row.pk


@pytest.mark.parametrize("who", ["operator", "run token"])
def test_questions_about_runs_of_others_are_refused(ada: User, birch: World, cedar: World, who: str):
    client = in_part() if who == "operator" else token(cedar)
    before = list(FlowRun.objects.order_by("pk").values())

    answers = {(method, path): client.call(method, path, body) for method, path, body in questions(cedar, birch)}

    open_ones = {ask: one.status_code for ask, one in answers.items() if one.status_code not in {401, 403, 404, 422}}
    assert open_ones == {}
    assert not any(b"birch" in one.content for one in answers.values())
    assert list(FlowRun.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("who", ["operator", "run token"])
def test_lists_and_sums_reveal_nothing_of_others(ada: User, birch: World, cedar: World, who: str):
    client = in_part() if who == "operator" else token(cedar)
    theirs = birch.id_of("runs_flowrun")
    every = {"flow_runs": {"id": {"any_": [theirs, cedar.id_of("runs_flowrun")]}}}

    answers = [
        client.call("POST", "/api/results/filter", {"flow_run_ids": [theirs]}),
        client.call("POST", "/api/results/filter", {}),
        client.call("POST", "/api/flow_runs/in_common", every),
        client.call("POST", "/api/flow_runs/in_common", {}),
        client.call("GET", "/api/flow_runs/time?hours=24"),
        client.call("POST", "/api/problems/filter", {}),
        client.call("POST", "/api/problems/count", {}),
        client.call("POST", "/api/problems/waiting", {}),
        client.call("GET", "/api/problems/waiting"),
        *(client.get(path) for path in ("/problems", "/time", "/runs/common", f"/runs/common?id={theirs}")),
    ]

    assert not any(b"birch" in one.content for one in answers)
    assert not any(one.status_code >= 500 for one in answers)


def test_an_admin_is_answered(ada: User, birch: World, cedar: World):
    """The requests are valid: others are refused only for their rights."""
    client = Asker(key_of(ada))

    answers = {(method, path): client.call(method, path, body) for method, path, body in questions(cedar, birch)}

    # What a run takes up is of that run alone, whoever asks; no run of the flow went well; and the retries before left
    # the problem none.
    refused = {ask: one.status_code for ask, one in answers.items() if one.status_code >= 400}
    statuses = {path.rpartition("/")[2]: status for (_, path), status in refused.items()}
    assert statuses == {"recorded": 404, "diff": 404, "retry": 422}
