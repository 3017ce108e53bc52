"""Rights on one deployment: everything of another is not there, in no answer of any operation, page or search."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from deployments.models import ServiceRecord
from orchestration.api.operations import Endpoint
from orchestration.sight import addressed, belongings, seeing
from orion_site.accounts.errors import BadRole
from orion_site.accounts.objects import _discover, address_of, owned_tables, sight_of
from orion_site.accounts.permissions import OF_OBJECTS, Action, Actor
from orion_site.accounts.users import actor_of_user, create_group, create_user
from runs.models import FlowRun, Occurrence, Problem, TaskRun
from tests.factories import make_flow_run, make_task_run
from tests.rounds import THOROUGH
from tests.security.askers import ELSEWHERE, Asker, key_of
from tests.security.test_walk import addresses, filled
from tests.security.worlds import World, make_world
from tests.sockets.conftest import OWN_HOST, PATIENCE, PREFECT, talk_to

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def own(ada: User) -> World:
    return make_world("alder")


@pytest.fixture
def other(own: World) -> World:
    return make_world("birch")


def someone(*roles: str, name: str = "carol") -> User:
    create_group(name=f"{name}-group", roles=roles)
    return create_user(name=name, groups=[f"{name}-group"])


def visible(actor: Actor, queryset: QuerySet[Any, Any], action: Action = Action.READ_RUNS) -> QuerySet[Any, Any]:
    """The rows that an actor sees, or may do the action to, by a condition in place of a reduced table."""
    sight = sight_of(actor, action)
    assert sight is not None
    table = queryset.model._meta.db_table
    return queryset.filter(RawSQL(sight.condition(table, f'"{table}"'), (), output_field=BooleanField()))


def asker(*roles: str) -> Asker:
    return Asker(key_of(someone(*roles)))


# By each kind of object the first world is reached.
KINDS = {
    "deployment": "deployment:alder-flow/alder-daily",
    "tag": "tag:alder-tag",
    "work-pool": "work-pool:alder-pool",
    "work-queue": "work-queue:alder-pool/alder-queue",
}
ROUTES: list[str] = []


def routes(resolver: Any = None, prefix: str = "") -> list[str]:
    found: list[str] = []
    for pattern in (resolver or get_resolver()).url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += routes(pattern, path)
        elif isinstance(pattern, URLPattern):
            found.append(path)
    return [path for path in found if not path.startswith(("admin/", "logout", "login")) and "anything_or" not in path]


def address(route: str, world: World) -> str:
    """The route with what belongs to a world in all its places."""
    _discover()
    first = addressed.get(address_of(route))
    named = {"schedule_id": "deployments_schedule", "task_run_id": "runs_taskrun", "limit_id": None}

    def value(match: re.Match[str]) -> str:
        nonlocal first
        kind, name = match[1] or "", match[2]
        if first is not None:
            (table, column), first = first, None
            return world.id_of(table, column)
        if table := named.get(name):
            return world.id_of(table)
        words = {"flow_name": "flow", "deployment_name": "daily", "tag": "tag", "work_pool_name": "pool"}
        if name in words:
            return f"{world.word}-{words[name]}"
        if name == "resource_id":
            return f"prefect.deployment.{world.id_of('deployments_deployment')}"
        if name in {"name", "key"}:
            place = {"api/flows": "flow", "api/work_": "queue", "api/artif": "report", "api/flow_": "answer"}
            return f"{world.word}-{place.get(route[:9], 'x')}"
        if kind == "int:":
            return "1"
        return "cancel" if kind == "slug:" else world.id_of("runs_flowrun")

    return "/" + re.sub(r"<(\w+:)?(\w+)>", value, route)


def body_of(method: str) -> Any:
    return None if method == "GET" else {}


def methods_of(number: int, shift: int) -> Sequence[str]:
    """All of them; in a brief round every third one, and for the next route and at the next shift others."""
    return METHODS if THOROUGH else METHODS[(number + shift) % 3 :: 3]


def leaks(answer: Any, world: World, asked: str) -> set[str]:
    """Find what of a world is in an answer that the question did not name."""
    text = b"".join(answer).decode() if answer.streaming else answer.content.decode()
    hidden = {one for one in world.strangers if one in text or one.replace("-", "") in text}
    hidden |= set(re.findall(rf"\b{world.word}[\w-]*", text))
    return {one for one in hidden if one not in asked}


def test_every_table_declares_the_owner_of_its_rows():
    _discover()

    assert belongings.keys() == owned_tables()


def test_every_address_of_an_object_is_declared():
    """A new address names an object with an owner, or is listed here as one without."""
    _discover()
    undeclared = {address_of(route) for route in routes() if "<" in route} - addressed.keys()

    assert undeclared == NOBODYS


# Found by reading, where rights are looked at in every statement; or allowed by roles that hold for everything only.
NOBODYS = {
    "enter/<code>",
    "help/<name>",
    "api/task_run_states/<id>",
    "runs/all/<action>",
    "views/<list_name>",
    "archive/<run_id>",
    "settings/server/<name>",
    "settings/keys/<key_id>",
    "settings/users/<user_id>",
    "settings/groups/<group_id>",
    "limits/global/<limit_id>",
    "blocks/<block_id>",
    "blocks/new/<slug>",
    "variables/<variable_id>",
    "automations/<automation_id>",
    "notifications/<policy_id>",
    "api/flows/name/<name>",
    "api/artifacts/<key>",
    "api/saved_searches/<id>",
    "api/flow_run_notification_policies/<id>",
    "api/events/count-by/<countable>",
    "api/automations/<id>",
    "api/automations/related-to/<resource_id>",
    "api/automations/owned-by/<resource_id>",
    "api/collections/views/<view>",
    "api/v2/concurrency_limits/<id_or_name>",
    "api/work_queues/name/<name>",
    "api/deployments/name/<flow_name>",
    "api/variables/name/<name>",
    "api/variables/<id>",
    "api/block_types/slug/<slug>",
    "api/block_types/<id>",
    "api/block_schemas/checksum/<checksum>",
    "api/block_schemas/<id>",
    "api/block_documents/<id>",
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_another_deployment_is_in_any_answer(own: World, other: World, kind: str):
    """Requests of every method that name an object of the other deployment are refused, or show nothing of it."""
    client, before = asker(f"deployer:{KINDS[kind]}"), rows_of(other)
    shift, found = [*KINDS].index(kind), []
    for number, route in enumerate(routes()):
        path = address(route, other)
        for method in methods_of(number, shift):
            answer = client.call(method, path, body_of(method))
            if leaked := leaks(answer, other, path):
                found.append((method, path, answer.status_code, sorted(leaked)[:3]))

    assert found == []
    assert rows_of(other) == before


ASKERS = [("viewer", "deployment"), ("deployer", "deployment"), *(("operator", kind) for kind in KINDS)]


@pytest.mark.turns
@pytest.mark.parametrize(("role", "kind"), ASKERS)
def test_the_objects_of_another_are_not_there(own: World, other: World, kind: str, role: str):
    client, wrong = asker(f"{role}:{KINDS[kind]}"), []
    shift = ASKERS.index((role, kind))
    for number, route in enumerate(routes()):
        if address_of(route) not in addressed:
            continue
        path = address(route, other)
        for method in methods_of(number, shift):
            status = client.call(method, path, body_of(method)).status_code
            if status == 404:
                continue
            # Refused whatever the object is.
            is_refused = status in {403, 405}
            if not is_refused or client.call(method, address(route, own), body_of(method)).status_code != status:
                wrong.append((method, path, status))

    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_users_own_objects_are_visible(own: World, other: World, kind: str):
    client, wrong = asker(f"operator:{KINDS[kind]}"), []
    for route in routes():
        if address_of(route) not in addressed or not route.endswith(">"):
            continue
        if address_of(route).startswith(NOT_OF_ALL_KINDS):
            continue
        path = address(route, own)
        answer = client.get(path)
        if answer.status_code not in {200, 405} and not has_no_get(route):
            wrong.append((path, answer.status_code))

    assert wrong == []


def has_no_get(route: str) -> bool:
    view = next(view for path, view in addresses(get_resolver()) if path == filled("/" + route))
    return isinstance(view, Endpoint) and all(one.method != "GET" for one in view.operations)


# Agents are seen with their pool, limits with their tag.
NOT_OF_ALL_KINDS = ("agents/", "api/agents/", "limits/", "api/concurrency_limits", "deployments/new/", "api/backfills")


@pytest.mark.parametrize("kind", KINDS)
def test_counts_and_histories_include_only_a_users_own_runs(own: World, other: World, kind: str):
    client = asker(f"viewer:{KINDS[kind]}")

    def count(what: str, body: Any = None) -> Any:
        return client.call("POST", f"/api/{what}/count", body or {}).json()

    flow_runs = FlowRun.objects.filter(pk__in=own.strangers).count()
    assert 5 <= flow_runs < FlowRun.objects.count()
    assert count("flow_runs") == flow_runs
    assert count("flow_runs", {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}}) == 1
    assert count("task_runs") == 2
    assert count("deployments") == 1
    assert count("flows") == 3
    assert count("artifacts") == 1
    span = {"history_start": "2020-01-01T00:00:00Z", "history_end": "2040-01-01T00:00:00Z"}
    bins = client.call("POST", "/api/flow_runs/history", {**span, "history_interval_seconds": 630_720_000}).json()
    assert sum(state["count_runs"] for one in bins for state in one["states"]) == flow_runs
    TaskRun.objects.update(state_type="COMPLETED", start_time=datetime(2026, 1, 5, tzinfo=UTC))
    began = {"start_time": {"after_": "2026-01-01T00:00:00Z"}}
    parts = client.call("POST", "/api/ui/task_runs/dashboard/counts", {"task_runs": began}).json()
    assert sum(part["completed"] for part in parts) == 2 < TaskRun.objects.count()


def test_the_month_of_the_schedule_has_a_users_own_deployments_and_no_totals(own: World, other: World):
    client = asker(f"viewer:{KINDS['deployment']}")

    page = client.get("/schedule?view=month&month=2099-01").content.decode()
    answer = client.get("/schedule?view=month")

    assert "alder-daily" in page
    assert "birch" not in page
    assert answer.context["found"].counts_runs is False
    assert not any(cell.came for week in answer.context["weeks"] for cell in week if cell)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_by_other_rows_and_of_what_is_missing_include_only_what_a_user_sees(own: World, other: World, kind: str):
    """Counts by subtraction, ids of flows, few task runs, queues and rare tags are equal to the length of the list."""
    client = asker(f"viewer:{KINDS[kind]}")
    hidden = str(other.id_of("runs_flow"))
    failed = {"state": {"type": {"any_": ["FAILED"]}}}
    tagged = [{"operator": "or_", "tags": {"all_": [tag]}, **failed} for tag in ("alder-tag", "birch-tag")]
    searches: dict[str, list[Any]] = {
        "flow_runs": [
            *({"flow_runs": {column: {"is_null_": True}}} for column in ("deployment_id", "work_queue_name")),
            *({"flow_runs": {"parent_task_run_id": {"is_null_": True}}}, {"flows": {}}, {"task_runs": {}}),
            *({"flows": {"id": {"any_": [hidden]}}}, {"task_runs": failed}),
            *({"work_pools": {}}, {"work_pool_queues": {"name": {"startswith_": [""]}}}),
            *({"flow_runs": one} for one in tagged),
        ],
        "task_runs": [
            *({"flows": {}}, {"flows": {"id": {"any_": [hidden]}}}),
            *({"task_runs": one} for one in tagged),
        ],
        "flows": [{"task_runs": {}}, {"task_runs": failed}],
    }
    for what, asked in ((what, asked) for what, bodies in searches.items() for asked in bodies):
        listed = client.call("POST", f"/api/{what}/filter", asked).json()

        assert client.call("POST", f"/api/{what}/count", asked).json() == len(listed)
        assert hidden not in {row.get("flow_id", row["id"]) for row in listed}


def test_an_operator_of_a_deployment_runs_its_past_times_and_not_those_of_others(own: World, other: World):
    client = asker("operator:deployment:alder-flow/alder-daily")
    period = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z", "schedule": {"interval": 86400}}

    answers = [
        client.call("POST", "/api/backfills/", {**period, "deployment_id": world.id_of("deployments_deployment")})
        for world in (own, other)
    ]

    assert [answer.status_code for answer in answers] == [201, 403]
    assert answers[0].json()["total"] == 3
    assert "a backfill of another deployment needs a role that covers all" in answers[1].json()["detail"]


def test_an_operator_of_a_deployment_operates_it(own: World, other: World):
    client = asker("operator:deployment:alder-flow/alder-daily")
    deployment, run = own.id_of("deployments_deployment"), own.id_of("runs_flowrun")

    made = client.call("POST", f"/api/deployments/{deployment}/create_flow_run", {})
    assert made.status_code == 201
    assert client.call("POST", f"/api/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}}).status_code == 201
    assert client.call("PATCH", f"/api/flow_runs/{run}", {"name": "calm"}).status_code == 204
    assert client.call("DELETE", f"/api/flow_runs/{made.json()['id']}").status_code == 204
    # What a role for everything is needed for.
    assert client.call("DELETE", f"/api/deployments/{deployment}").status_code == 403
    assert client.call("POST", "/api/logs/", []).status_code == 403
    assert client.call("POST", "/api/block_types/filter", {}).status_code == 403


def test_an_operator_of_a_deployment_retries_its_runs_from_a_task_and_no_others(own: World, other: World):
    client = asker("operator:deployment:alder-flow/alder-daily")
    run, asked = make_ended_run(own), {"from_tasks": ["@failed"], "new_run": True}

    begun = client.call("POST", f"/api/flow_runs/{run}/retry", asked)

    assert begun.status_code == 201, begun.content
    new = begun.json()["retry"]["flow_run_id"]
    assert client.get(f"/api/flow_runs/{new}").status_code == 200
    assert [one["source_id"] for one in client.get(f"/api/flow_runs/{run}/retries").json()] == [run]
    theirs = make_ended_run(other)
    for path in (f"{theirs}/retry", f"{theirs}/retry/preview", f"{theirs}/recorded"):
        assert client.call("POST", f"/api/flow_runs/{path}", asked).status_code in {403, 404}
    viewer = Asker(key_of(someone("viewer", name="vera")))
    assert viewer.call("POST", f"/api/flow_runs/{run}/retry", asked).status_code == 403


def make_ended_run(world: World) -> str:
    """A run of the world's deployment in which a task failed."""
    deployed = world.rows["runs_flowrun"]
    run = make_flow_run("FAILED", flow=deployed.flow, deployment_id=deployed.deployment_id)
    make_task_run("FAILED", flow_run=run)
    return str(run.pk)


def test_a_bulk_action_of_an_operator_of_a_deployment_concerns_its_runs_alone(own: World, other: World):
    client, before = asker("viewer", "operator:deployment:alder-flow/alder-daily"), rows_of(other)
    runs = FlowRun.objects.filter(pk__in=own.strangers).count()

    begun = client.call("POST", "/api/bulk_actions/", {"action": "cancel", "flow_runs": {}}).json()

    assert (begun["status"], begun["total"]) == ("done", runs)
    assert rows_of(other) == before
    assert client.get(f"/api/bulk_actions/{begun['id']}").status_code == 200
    assert client.call("POST", f"/api/bulk_actions/{other.id_of('runs_bulkaction')}/stop", {}).status_code == 403


def test_a_problem_shared_with_others_reveals_nothing_of_their_runs(own: World, other: World):
    client, now = asker("operator:deployment:alder-flow/alder-daily"), timezone.now()
    problem = other.rows["runs_problem"]
    words = {"type": "KeyError", "message": "…", "resolution": "3 later runs of birch-flow completed."}
    Problem.objects.filter(pk=problem.pk).update(status="resolved", **words)
    run = own.rows["runs_flowrun"]
    Occurrence.objects.create(
        id=uuid4(), problem_id=problem.pk, run=run, flow_id=run.flow_id, seen_at=now, is_pending=False
    )

    answers = [
        client.get(f"/api/problems/{problem.pk}"),
        client.call("POST", "/api/problems/filter", {}),
        client.get(f"/problems/{problem.pk}"),
        client.get("/problems?status=all"),
        client.get("/"),
    ]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert [answer for answer in answers if "birch" in answer.content.decode()] == []
    shown = answers[0].json()
    assert (shown["title"], shown["runs"], shown["failures"], shown["trend"]) == ("KeyError: …", 1, 1, [])
    for command in ("mute", "unmute", "resolve"):
        assert client.call("POST", f"/api/problems/{problem.pk}/{command}", {}).status_code == 403


def test_a_deployer_of_a_deployment_deploys_it_again_and_nothing_else(own: World, other: World):
    client = asker("deployer:deployment:alder-flow/alder-daily")
    flow, deployment = own.id_of("runs_flow"), own.rows["deployments_deployment"]
    calendar = own.id_of("deployments_calendar")

    def deploy(name: str = "alder-daily", **more: Any) -> int:
        return int(client.call("POST", "/api/deployments/", {"flow_id": flow, "name": name, **more}).status_code)

    assert client.call("POST", "/api/flows/", {"name": "alder-flow"}).status_code == 200
    assert deploy(version="2") == 200
    assert deploy(work_pool_name="alder-pool", work_queue_name="alder-queue") == 200
    # Its code would be executed by other agents.
    assert deploy(work_pool_name="birch-pool", work_queue_name="birch-queue") == 403
    assert deploy("another") == 403
    assert deploy("birch-daily", flow_id=other.id_of("runs_flow")) == 403
    assert client.call("POST", "/api/flows/", {"name": "new"}).status_code == 403
    assert client.call("POST", "/api/flows/", {"name": "birch-flow"}).status_code == 403
    path = f"/api/deployments/{deployment.pk}"
    assert client.call("PATCH", path, {"work_pool_name": "birch-pool", "work_queue_name": "x"}).status_code == 403
    assert client.call("PATCH", path, {"description": "x"}).status_code == 204
    # Others may use them as well.
    assert client.call("DELETE", f"/api/flows/{flow}").status_code == 403
    assert client.call("PATCH", f"/api/calendars/{calendar}", {"description": "x"}).status_code == 403
    assert client.call("DELETE", f"/api/calendars/{calendar}").status_code == 403


def test_a_deployer_of_a_deployment_names_no_calendar_that_no_visible_deployment_uses(own: World, other: World):
    """It could be read afterwards, and the answer would say which names there are."""
    client, deployment = asker("deployer:deployment:alder-flow/alder-daily"), own.rows["deployments_deployment"]
    path, flow = f"/api/deployments/{deployment.pk}", own.id_of("runs_flow")
    stored = own.id_of("deployments_schedule")
    past = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-03T00:00:00Z", "schedule": {"interval": 86400}}

    def named(name: str) -> list[tuple[int, Any]]:
        new = {"schedule": {"interval": 3600}, "calendars": [name]}
        answers = [
            client.call("POST", f"{path}/schedules", [new]),
            client.call("PATCH", f"{path}/schedules/{stored}", {"calendars": [name]}),
            client.call("PATCH", path, {"schedules": [new]}),
            client.call("POST", "/api/deployments/", {"flow_id": flow, "name": "alder-daily", "schedules": [new]}),
            client.call("POST", "/api/schedules/preview", {"definition": {"interval": 3600}, "calendars": [name]}),
            client.call("POST", "/api/backfills/", {**past, "deployment_id": str(deployment.pk), "calendars": [name]}),
        ]
        return [(one.status_code, str(one.json()).replace(name, "…")) for one in answers]

    assert named("birch-days") == named("no-such-days")
    assert {status for status, _ in named("birch-days")} == {404}
    assert b"birch-days" not in client.call("POST", "/api/calendars/filter", {}).content


def test_a_deployer_of_a_deployment_keeps_its_calendar_in_other_schedules(own: World):
    client, deployment = asker("deployer:deployment:alder-flow/alder-daily"), own.rows["deployments_deployment"]
    path, new = f"/api/deployments/{deployment.pk}", {"schedule": {"interval": 3600}, "calendars": ["alder-days"]}

    assert client.call("POST", f"{path}/schedules", [new]).status_code == 201
    # The schedules that use it are replaced.
    assert client.call("PATCH", path, {"schedules": [{**new, "schedule": {"cron": "0 6 * * *"}}]}).status_code == 204
    assert [one["calendars"] for one in client.get(f"{path}/schedules").json()] == [["alder-days"]]


def test_a_user_who_sees_everything_names_every_calendar(own: World, other: World):
    client = asker("viewer", "deployer:deployment:alder-flow/alder-daily")
    path = f"/api/deployments/{own.id_of('deployments_deployment')}/schedules"

    assert client.call("POST", path, [{"schedule": {"interval": 3600}, "calendars": ["birch-days"]}]).status_code == 201


def test_a_user_who_sees_everything_but_operates_one_gets_a_reason(own: World, other: World):
    client = asker("viewer", "operator:deployment:alder-flow/alder-daily")
    path = "/api/deployments/{}/create_flow_run"

    refused = client.call("POST", path.format(other.id_of("deployments_deployment")), {})

    assert (refused.status_code, "other objects" in refused.json()["detail"]) == (403, True)
    assert client.call("POST", path.format(own.id_of("deployments_deployment")), {}).status_code == 201
    assert client.get(f"/api/flow_runs/{other.id_of('runs_flowrun')}").status_code == 200


def test_a_deployment_in_a_queue_without_a_pool_is_seen(own: World, other: World):
    from deployments.models import Deployment, WorkQueue

    queue = WorkQueue.objects.create(name="loose")
    Deployment.objects.filter(pk=own.id_of("deployments_deployment")).update(work_queue=queue)
    client = asker("viewer:deployment:alder-flow/alder-daily")

    for what, seen in (("deployments", {"alder-daily"}), ("work_queues", {"loose"}), ("work_pools", set())):
        answer = client.call("POST", f"/api/{what}/filter", {})
        assert (answer.status_code, {one["name"] for one in answer.json()}) == (200, seen)


def test_rules_count_also_what_is_not_seen(own: World, other: World):
    """A full queue stays full for a user who sees only a part of it."""
    from deployments.models import Deployment, WorkQueue

    queue = own.rows["deployments_workqueue"]
    Deployment.objects.filter(pk=other.id_of("deployments_deployment")).update(work_queue=queue)
    FlowRun.objects.filter(pk=other.id_of("runs_flowrun")).update(work_queue_id=queue.pk)
    FlowRun.objects.filter(pk=own.id_of("runs_flowrun")).update(state_type="FAILED")
    WorkQueue.objects.filter(pk=queue.pk).update(concurrency_limit=1)
    client = asker("deployer:deployment:alder-flow/alder-daily")
    made = client.call("POST", f"/api/deployments/{own.id_of('deployments_deployment')}/create_flow_run", {}).json()

    answer = client.call("POST", f"/api/flow_runs/{made['id']}/set_state", {"state": {"type": "PENDING"}})

    assert answer.json()["status"] != "ACCEPT"


def test_visible_rows_are_those_of_rights(own: World, other: World):
    actor, _ = actor_of_user(someone("operator:deployment:alder-flow/alder-daily"))

    everyone = FlowRun.objects.all()
    assert {str(run.pk) for run in visible(actor, everyone)} == own.strangers & {str(run.pk) for run in everyone}
    assert visible(actor, everyone, Action.CHANGE_RUNS).count() == visible(actor, everyone).count()
    assert not visible(actor, FlowRun.objects.all(), Action.FORCE_STATES).exists()


def test_rights_on_objects_are_few():
    assert Action.CHANGE_SETTINGS not in OF_OBJECTS
    assert not {one for one in OF_OBJECTS if one.value.startswith(("blocks", "variables", "users", "automations"))}


@pytest.mark.parametrize(
    "role", ["owner", "operator:", "operator:flow:x", "viewer:tag:", "viewer:deployment:daily", "admin:tag:x"]
)
def test_a_role_that_makes_no_sense_is_refused(ada: User, role: str):
    with pytest.raises(BadRole):
        create_group(name="odd", roles=[role])


def rows_of(world: World) -> dict[str, Any]:
    rows = {
        table: type(row)._default_manager.filter(pk=row.pk).values().get()
        for table, row in world.rows.items()
        if table not in {"deployments_worker"}
    }
    # Whoever reads problems does what a service does otherwise, where none has for a minute.
    del rows["runs_problem"]["checked_at"]
    return rows


def test_for_those_who_see_everything_no_statement_is_changed(
    own: World, django_assert_num_queries: Callable[..., Any]
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = Asker(key_of(create_user(name="erin", roles=["viewer"])))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        client.call("POST", "/api/flow_runs/filter", {})

    assert not [one["sql"] for one in asked if one["sql"].startswith("WITH ")]


def test_the_first_page_shows_no_internals_of_the_server_to_users_of_named_objects(
    own: World, monkeypatch: pytest.MonkeyPatch
):
    now = timezone.now()
    error = "OSError: connection to db.internal failed"
    ServiceRecord.objects.create(name="mailer", every_seconds=5, last_tick=now, last_error=error, last_error_at=now)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=100 * 2**30, used=0, free=2**29))

    page = asker("viewer:deployment:alder-flow/alder-daily").get("/").content.decode()
    whole = Asker(key_of(someone("viewer", name="dora"))).get("/").content.decode()

    assert [text in page for text in ("A service fails", "A disk is nearly full")] == [True, True]
    assert [text in page for text in ("mailer", "db.internal", "Make room at")] == [False, False, False]
    assert [text in whole for text in ("mailer", "db.internal", "Make room at")] == [True, True, True]


# --- sockets ---


@pytest.mark.django_db(transaction=True)
async def test_a_feed_of_events_has_only_those_of_a_users_own_objects():
    def prepared() -> tuple[World, World, str]:
        create_user(name="ada", password="an otter in the river", roles=["admin"])
        own, other = make_world("alder"), make_world("birch")
        return own, other, key_of(someone("viewer:deployment:alder-flow/alder-daily"))

    own, other, key = await database_sync_to_async(prepared)()
    headers = (OWN_HOST, (b"authorization", f"Bearer {key}".encode()))
    talk = talk_to("/api/events/out", subprotocols=PREFECT, headers=headers, client=ELSEWHERE)
    assert (await talk.connect(timeout=PATIENCE))[0]
    await talk.send_json_to({"type": "auth", "token": key})
    await talk.next_message()

    await talk.send_json_to({"type": "filter", "filter": {"event": {"name": ["prefect.flow-run.Running"]}}})

    assert own.id_of("events_event") in str(await talk.next_message())
    assert await talk.receive_nothing(timeout=0.5)
    await talk.disconnect(timeout=PATIENCE)
    assert other.id_of("events_event") not in own.strangers


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/api/events/in", "/api/task_runs/subscriptions/scheduled"])
async def test_sockets_that_report_need_a_role_for_everything(path: str):
    def prepared() -> str:
        create_user(name="ada", password="an otter in the river", roles=["admin"])
        return key_of(someone("agent:deployment:alder-flow/alder-daily"))

    headers = (OWN_HOST, (b"authorization", f"Bearer {await database_sync_to_async(prepared)()}".encode()))

    assert not (await talk_to(path, subprotocols=PREFECT, headers=headers, client=ELSEWHERE).connect(PATIENCE))[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT COUNT(*) FROM runs_flowrun",
        "\n\tselect count(*) from runs_flowrun",
        "SELECT(SELECT COUNT(*) FROM runs_flowrun)",
        "WITH\nfound AS (SELECT * FROM runs_flowrun) SELECT COUNT(*) FROM found",
        "with recursive f(id) AS (SELECT id FROM runs_flowrun UNION SELECT id FROM f) SELECT COUNT(*) FROM f",
    ],
)
def test_statements_of_every_form_are_restricted(own: World, other: World, sql: str):
    actor, _ = actor_of_user(someone("viewer:deployment:alder-flow/alder-daily"))
    seen = visible(actor, FlowRun.objects.all()).count()

    with seeing(sight_of(actor, Action.READ_RUNS)), connection.cursor() as cursor:
        cursor.execute(sql)
        (found,) = cursor.fetchone()

    assert 0 < found == seen < FlowRun.objects.count()
