"""Problems over the API: listed, counted, read, and what people decide about them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from deployments.models import Deployment
from orionflow.contract.fingerprints import cause_of
from runs.models import FlowRun, Problem
from tests.factories import make_flow, make_flow_run, make_state, state_of

pytestmark = pytest.mark.django_db

CAUSE = cause_of("KeyError", "'price'", [("load.py", "load_rows")]).as_dict()
OTHER = cause_of("ValueError", "boom", [("load.py", "parse")]).as_dict()
ID = str(UUID(CAUSE["fingerprint"]))


def failed(flow: str = "etl", *, deployed: bool = False, cause=CAUSE, **fields) -> FlowRun:
    own = make_flow(flow)
    if deployed:
        fields["deployment_id"] = Deployment.objects.get_or_create(name="prod", flow=own)[0].pk
    message = "The flow raised ValueError: boom" if cause is OTHER else "The flow raised KeyError: 'price'"
    state = make_state("FAILED", message=message, cause=cause)
    return make_flow_run(state, flow=own, now=timezone.now(), **fields)


def test_failures_are_listed_by_their_cause_the_newest_first(api, counted):
    failed("etl", flow_version="1")
    failed("report", flow_version="2")
    failed("etl", cause=OTHER)
    api.send("/problems/filter")

    with counted("filter problems"):
        found = api.send("/problems/filter").json()

    assert [(one["title"], one["runs"], one["failed"]) for one in found] == [
        ("ValueError: boom", 1, 1),
        ("KeyError: 'price'", 2, 2),
    ]
    assert (found[1]["flows"], found[1]["versions"]) == (["etl", "report"], ["1", "2"])
    assert (found[1]["status"], found[1]["place"], found[1]["failures"]) == ("new", "load.py:load_rows", 2)
    assert [one["failures"] for one in found[1]["trend"]] == [2]
    assert api.send("/problems/count").json() == 2


def test_a_problem_exists_as_soon_as_its_run_has_failed(api):
    failed()

    assert api.read(f"/problems/{ID}").json()["id"] == ID
    assert api.read(f"/problems/{UUID(int=4)}").status_code == 404


def test_problems_are_filtered(api):
    failed()
    failed(cause=OTHER)

    def titles(**wanted) -> list[str]:
        return [one["type"] for one in api.send("/problems/filter", {"problems": wanted}).json()]

    assert titles(type={"any_": ["KeyError"]}) == ["KeyError"]
    assert titles(status={"any_": ["muted"]}) == []
    assert titles(id={"any_": [ID]}) == ["KeyError"]
    assert titles(last_seen={"before_": (timezone.now() - timedelta(hours=1)).isoformat()}) == []
    assert len(api.send("/problems/filter", {"limit": 1, "offset": 1}).json()) == 1
    assert api.send("/problems/filter", {"problems": {"colour": 1}}).status_code == 422


def test_runs_are_found_by_their_problem(api):
    run = failed()
    failed(cause=OTHER)
    api.send("/problems/filter")

    for wanted in ({"any_": [ID]}, {"startswith_": ID.replace("-", "")[:8]}):
        found = api.send("/flow_runs/filter", {"flow_runs": {"problem": wanted}}).json()
        assert [one["id"] for one in found] == [str(run.pk)]


def test_a_retry_is_previewed_and_carried_out(api):
    can, cannot = failed(deployed=True), failed()
    failed(cause=OTHER, deployed=True)

    preview = api.send(f"/problems/{ID}/retry/preview").json()
    begun = api.send(f"/problems/{ID}/retry", {"id": str(UUID(int=8))})
    again = api.send(f"/problems/{ID}/retry", {"id": str(UUID(int=8))})

    assert (preview["can"], preview["cannot"], list(preview["reasons"].values())) == (1, 1, [1])
    assert begun.status_code == 201
    assert (begun.json()["total"], begun.json()["done"], begun.json()["refused"]) == (2, 1, 1)
    assert again.json()["id"] == begun.json()["id"]
    assert (state_of(can), state_of(cannot)) == ("SCHEDULED", "FAILED")


def test_without_a_failed_run_there_is_nothing_to_retry(api):
    run = failed(deployed=True)
    api.send(f"/problems/{ID}/retry")

    answer = api.send(f"/problems/{ID}/retry")

    assert state_of(run) == "SCHEDULED"
    assert answer.status_code == 422
    assert answer.json()["code"] == "nothing_to_change"


def test_people_decide_about_it(api):
    failed()

    muted = api.send(f"/problems/{ID}/mute", {"grows_by": 5, "until": "2099-01-01T00:00:00Z"}).json()
    assert (muted["status"], muted["muted_until_failures"]) == ("muted", 6)
    assert api.send(f"/problems/{ID}/unmute").json()["status"] == "ongoing"
    assert api.send(f"/problems/{ID}/assign", {"assignee": " ada "}).json()["assignee"] == "ada"
    resolved = api.send(f"/problems/{ID}/resolve").json()
    assert (resolved["status"], resolved["resolved_by"]) == ("resolved", "local owner")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("mute", {"grows_by": 0}),
        ("mute", {"grows_by": "many"}),
        ("mute", {"until": "tomorrow"}),
        ("mute", {"for": 5}),
        ("assign", {"assignee": "a" * 300}),
        ("assign", {"assignee": 5}),
    ],
)
def test_invalid_changes_are_refused(api, path, body):
    failed()

    assert api.send(f"/problems/{ID}/{path}", body).status_code == 422


@pytest.mark.parametrize("path", ["mute", "unmute", "resolve", "retry", "retry/preview"])
def test_a_problem_that_does_not_exist_is_404(api, path):
    assert api.send(f"/problems/{UUID(int=4)}/{path}").status_code == 404


def test_waiting_runs_are_grouped_by_their_reason(api):
    now = timezone.now() - timedelta(hours=1)
    flow = make_flow("etl")
    deployment, _ = Deployment.objects.get_or_create(name="prod", flow=flow)
    for _ in range(3):
        state = make_state("SCHEDULED", scheduled_time=now)
        make_flow_run(state, flow=flow, deployment_id=deployment.pk, now=now)

    waiting = api.read("/problems/waiting").json()

    assert [(one["runs"], one["flows"]) for one in waiting] == [(3, ["etl"])]
    assert "prod" in waiting[0]["reason"]


def test_a_state_with_a_cause_is_returned_with_it_and_others_have_none(api):
    run = failed()
    fine = make_flow_run("COMPLETED")

    assert api.read(f"/flow_runs/{run.pk}").json()["state"]["state_details"]["cause"] == CAUSE
    assert "cause" not in api.read(f"/flow_runs/{fine.pk}").json()["state"]["state_details"]


def test_a_hostile_cause_is_cut_and_cannot_choose_its_problem(api):
    run = make_flow_run("RUNNING")
    cause = {"fingerprint": "../../x", "type": "T" * 9000, "place": "<b>", "message": "\x1b[31m", "more": "x" * 99}

    body = {"state": {"type": "FAILED", "message": "boom", "state_details": {"cause": cause}}}
    assert api.send(f"/flow_runs/{run.pk}/set_state", body).status_code == 201

    found = api.send("/problems/filter").json()
    assert [(one["type"], one["title"]) for one in found] == [("Failed", "Failed: boom")]
    assert Problem.objects.count() == 1
