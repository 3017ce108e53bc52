"""A change of a deployment, its schedules or its queues touches no planned run that it is not about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deployments.schedules.services.planning import plan_due_schedules
from tests.api.test_deployments import deploy, planned_runs
from tests.travelling import travelled

HALF_PAST_EIGHT = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)
HOURLY = {"schedule": {"cron": "0 * * * *"}}
HALF_HOURLY = {"schedule": {"cron": "*/30 * * * *"}}


@pytest.fixture
def clock():
    with travelled(HALF_PAST_EIGHT) as clock:
        yield clock


def times_of(api, deployment, state="SCHEDULED"):
    runs = planned_runs(api, deployment, flow_runs={"state": {"type": {"any_": [state]}}})
    return [(run["next_scheduled_start_time"] or run["expected_start_time"])[11:16] for run in runs]


def ids_of(api, deployment):
    return {run["expected_start_time"]: run["id"] for run in planned_runs(api, deployment)}


def test_schedule_that_is_deleted_leaves_the_times_that_another_one_names(api, clock):
    made = deploy(api, schedules=[HOURLY, HALF_HOURLY]).json()
    hourly = next(one for one in made["schedules"] if one["schedule"]["cron"] == "0 * * * *")
    before = ids_of(api, made)

    api.call("DELETE", f"/deployments/{made['id']}/schedules/{hourly['id']}")

    assert times_of(api, made) == ["09:00", "09:30", "10:00", "11:00"]
    assert ids_of(api, made) == before


@pytest.mark.parametrize(
    "change",
    [
        {"active": False},
        {"schedule": {"cron": "15 9 * * *"}},
        {"parameters": {"deep": True}},
        {"ends_at": "2026-01-05T08:45:00Z", "active": False},
    ],
)
def test_schedule_that_is_changed_leaves_the_times_that_another_one_names(api, clock, change):
    made = deploy(api, schedules=[HOURLY, HALF_HOURLY]).json()
    hourly = next(one for one in made["schedules"] if one["schedule"]["cron"] == "0 * * * *")

    answer = api.call("PATCH", f"/deployments/{made['id']}/schedules/{hourly['id']}", change)

    assert answer.status_code == 204, answer.content
    assert {"09:00", "09:30", "10:00"} <= set(times_of(api, made))


def test_pause_deletes_all_unclaimed_runs_even_those_of_a_deleted_schedule(api, clock):
    made = deploy(api, schedules=[HOURLY]).json()
    clock.move_to(HALF_PAST_EIGHT + timedelta(minutes=31))
    deploy(api, schedules=[{"schedule": {"cron": "45 * * * *"}}])
    due = times_of(api, made)

    api.call("PATCH", f"/deployments/{made['id']}", {"paused": True})

    assert due[0] == "09:00"
    assert times_of(api, made) == []


def test_pause_of_a_schedule_deletes_its_due_runs(api, clock):
    made = deploy(api, schedules=[HOURLY]).json()
    clock.move_to(HALF_PAST_EIGHT + timedelta(minutes=31))

    api.call("PATCH", f"/deployments/{made['id']}/schedules/{made['schedules'][0]['id']}", {"active": False})

    assert times_of(api, made) == []


@pytest.mark.parametrize("change", [{"description": "x"}, {"tags": ["a"]}, {"version": "2"}, {"paused": False}, {}])
def test_edit_of_neither_times_nor_parameters_keeps_every_run(api, clock, change):
    made = deploy(api, schedules=[HOURLY]).json()
    before = ids_of(api, made)

    api.call("PATCH", f"/deployments/{made['id']}", change)

    assert ids_of(api, made) == before


@pytest.mark.parametrize(
    "change",
    [
        {"description": "x"},
        {"parameters": {"n": 2}},
        {"schedules": [HOURLY]},
        {"schedules": [HALF_HOURLY]},
        {"work_queue_name": "other"},
    ],
)
def test_changes_of_a_planned_run_by_users_stay(api, clock, change):
    made = deploy(api, schedules=[HOURLY], parameters={"n": 1}).json()
    deleted, cancelled, moved = planned_runs(api, made)
    later = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2026-01-05T17:17:00Z"}}
    api.call("DELETE", f"/flow_runs/{deleted['id']}")
    api.send(f"/flow_runs/{cancelled['id']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})
    api.send(f"/flow_runs/{moved['id']}/set_state", {"state": later, "force": True})

    api.call("PATCH", f"/deployments/{made['id']}", change)
    api.call("PATCH", f"/deployments/{made['id']}", {"paused": False})
    plan_due_schedules(HALF_PAST_EIGHT)

    assert not {"09:00", "10:00", "11:00"} & set(times_of(api, made))
    assert times_of(api, made, "CANCELLED") == ["10:00"]
    assert "17:17" in times_of(api, made)


def test_deleted_run_stays_deleted_when_its_deployment_is_paused_and_resumed(api, clock):
    made = deploy(api, schedules=[HOURLY]).json()
    first = planned_runs(api, made)[0]
    api.call("DELETE", f"/flow_runs/{first['id']}")

    for paused in (True, False):
        api.call("PATCH", f"/deployments/{made['id']}", {"paused": paused})

    assert times_of(api, made) == ["10:00", "11:00"]


def test_planned_runs_follow_the_tags_and_the_queue_of_their_deployment(api, clock):
    made = deploy(api, schedules=[HOURLY], tags=["old"], work_queue_name="small").json()
    mine = planned_runs(api, made)[1]
    api.call("PATCH", f"/flow_runs/{mine['id']}", {"tags": ["mine"]})

    api.call("PATCH", f"/deployments/{made['id']}", {"tags": ["new"], "work_queue_name": "big", "version": "2"})

    runs = planned_runs(api, made)
    assert [run["tags"] for run in runs] == [["auto-scheduled", "new"], ["mine"], ["auto-scheduled", "new"]]
    assert {(run["work_queue_name"], run["deployment_version"]) for run in runs} == {("big", "2")}
    big = api.read("/work_queues/name/big").json()
    assert {run["work_queue_id"] for run in runs} == {big["id"]}


@pytest.mark.parametrize("way", ["POST", "PATCH"])
def test_unchanged_schedule_keeps_its_id_its_anchor_and_its_runs(api, clock, way):
    wanted = [{"schedule": {"interval": 3600}}, HALF_HOURLY]
    made = deploy(api, schedules=wanted).json()
    before, runs = {one["id"]: one["schedule"] for one in made["schedules"]}, ids_of(api, made)

    for minutes in (20, 40, 50):
        clock.move_to(HALF_PAST_EIGHT + timedelta(minutes=minutes))
        if way == "POST":
            deploy(api, schedules=wanted)
        else:
            api.call("PATCH", f"/deployments/{made['id']}", {"schedules": wanted})

    answer = api.read(f"/deployments/{made['id']}").json()
    assert {one["id"]: one["schedule"] for one in answer["schedules"]} == before
    assert ids_of(api, made).items() >= runs.items()
    assert "09:30" in times_of(api, made)


def test_an_anchor_at_the_time_of_the_call_is_not_a_chosen_one(api, clock):
    def wanted(at):
        return [{"schedule": {"interval": 3600, "anchor_date": at, "timezone": "UTC"}}]

    first = deploy(api, schedules=wanted("2026-01-05T08:29:59.123456Z")).json()
    clock.move_to(HALF_PAST_EIGHT + timedelta(minutes=45))
    again = deploy(api, schedules=wanted("2026-01-05T09:14:58.654321Z")).json()
    chosen = deploy(api, schedules=wanted("2026-01-05T06:00:00Z")).json()

    assert again["schedules"][0]["id"] == first["schedules"][0]["id"]
    assert again["schedules"][0]["schedule"] == first["schedules"][0]["schedule"]
    assert chosen["schedules"][0]["schedule"]["anchor_date"].startswith("2026-01-05T06:00:00")


def test_schedule_of_the_same_times_keeps_its_id_when_something_else_of_it_changes(api, clock):
    first = deploy(api, schedules=[{**HOURLY, "parameters": {"n": 1}}]).json()

    again = deploy(api, schedules=[{**HOURLY, "parameters": {"n": 2}, "misfire": "all"}]).json()

    assert again["schedules"][0]["id"] == first["schedules"][0]["id"]
    assert {run["parameters"]["n"] for run in planned_runs(api, first)} == {2}


def test_limit_of_runs_is_counted_over_redeployments(api, clock):
    for minutes in (0, 31, 91, 151, 211):
        clock.move_to(HALF_PAST_EIGHT + timedelta(minutes=minutes))
        made = deploy(api, schedules=[{**HOURLY, "max_runs": 2}]).json()

    assert times_of(api, made) == ["09:00", "10:00"]


@pytest.mark.parametrize(
    ("end", "change"), [({"max_runs": 1}, {"max_runs": None}), ({"ends_at": "2026-01-05T09:00:00Z"}, {"ends_at": None})]
)
def test_schedule_that_had_ended_continues_from_now(api, clock, end, change):
    made = deploy(api, schedules=[{**HOURLY, **end, "misfire": "all"}]).json()
    for hours in (1, 2, 3):
        clock.move_to(HALF_PAST_EIGHT + timedelta(hours=hours))
        plan_due_schedules(HALF_PAST_EIGHT + timedelta(hours=hours))

    api.call("PATCH", f"/deployments/{made['id']}/schedules/{made['schedules'][0]['id']}", change)

    assert times_of(api, made) == ["09:00", "12:00", "13:00", "14:00"]


@pytest.mark.parametrize("sent", ["2026-01-05T06:15:00", "2026-01-05T06:15:00+01:00", "2026-01-05T05:15:00Z"])
def test_anchor_without_an_offset_is_a_time_of_the_schedules_zone(api, clock, sent):
    schedule = {"interval": 86400, "anchor_date": sent, "timezone": "Europe/Berlin"}

    made = deploy(api, schedules=[{"schedule": schedule}]).json()

    assert times_of(api, made)[0] == "05:15"
    previewed = api.send("/schedules/preview", {"definition": schedule, "count": 1}).json()
    assert previewed[0]["local"] == "2026-01-06T06:15:00+01:00"


def test_end_without_an_offset_is_a_time_of_the_schedules_zone(api, clock):
    berlin = {"cron": "0 * * * *", "timezone": "Europe/Berlin"}

    made = deploy(api, schedules=[{"schedule": berlin, "ends_at": "2026-01-05T11:00:00"}]).json()
    schedule = made["schedules"][0]
    api.call("PATCH", f"/deployments/{made['id']}/schedules/{schedule['id']}", {"ends_at": "2026-01-05T10:00:00"})

    assert schedule["ends_at"] == "2026-01-05T10:00:00+00:00"
    assert times_of(api, made) == ["09:00"]


# --- what can never run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ({"rrule": "FREQ=HOURLY;COUNT=3"}, "DTSTART"),
        ({"cron": "0 0 30 2 *"}, "no such time"),
        ({"cron": "0 0 31 4,6 *"}, "no such time"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "no such time"),
        ({"cron": "0 * * * *", "timezone": "Factory"}, "not a time zone"),
        ({"cron": "0 * * * *", "timezone": "localtime"}, "not a time zone"),
        ({"interval": 3600, "timezone": "right/Europe/Berlin"}, "not a time zone"),
    ],
)
def test_schedule_that_can_never_run_is_refused_wherever_it_is_sent(api, clock, definition, why):
    made = deploy(api, schedules=[HOURLY]).json()
    schedules = f"/deployments/{made['id']}/schedules"

    answers = [
        api.send("/schedules/preview", {"definition": definition}),
        api.send(schedules, [{"schedule": definition}]),
        api.call("PATCH", f"{schedules}/{made['schedules'][0]['id']}", {"schedule": definition}),
        api.call("PATCH", f"/deployments/{made['id']}", {"schedules": [{"schedule": definition}]}),
        deploy(api, name="other", schedules=[{"schedule": definition}]),
        deploy(api, name="third", schedule=definition),
    ]

    assert [answer.status_code for answer in answers] == [422] * 6
    assert all(why in answer.content.decode() for answer in answers)


@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule": {"rrule": "DTSTART:20200101T000000Z\nRRULE:FREQ=DAILY;COUNT=3"}},
        {"schedule": {"rrule": "FREQ=DAILY;UNTIL=20251231T000000Z"}},
        {**HOURLY, "ends_at": "2026-01-05T08:00:00Z"},
    ],
)
def test_schedule_that_has_ended_is_refused_unless_it_was_there_before_or_is_switched_off(api, clock, schedule):
    clock.move_to(datetime(2019, 12, 1, tzinfo=UTC))
    made = deploy(api, schedules=[schedule]).json()
    clock.move_to(HALF_PAST_EIGHT)

    answers = [
        deploy(api, name="new", schedules=[schedule]),
        deploy(api, schedules=[schedule]),
        api.call("PATCH", f"/deployments/{made['id']}", {"schedules": [schedule]}),
        deploy(api, name="new", schedules=[{**schedule, "active": False}]),
    ]

    assert [answer.status_code for answer in answers] == [422, 200, 204, 201]
    assert "would never run" in answers[0].content.decode()


def test_a_schedule_is_refused_if_its_runs_would_lack_a_parameter(api, clock):
    schema = {"type": "object", "properties": {"region": {"type": "string"}}, "required": ["region"]}
    asked = {"parameter_openapi_schema": schema, "enforce_parameter_schema": True}

    refused = deploy(api, schedules=[HOURLY], **asked)
    made = deploy(api, **asked)
    id = made.json()["id"]
    answers = [
        api.send(f"/deployments/{id}/schedules", [HOURLY]),
        api.send(f"/deployments/{id}/schedules", [{**HOURLY, "active": False}]),
        api.send(f"/deployments/{id}/schedules", [{**HOURLY, "parameters": {"region": "north"}}]),
        api.call("PATCH", f"/deployments/{id}", {"parameters": {"region": "south"}}),
        api.send(f"/deployments/{id}/schedules", [HOURLY]),
        api.call("PATCH", f"/deployments/{id}", {"parameters": {}}),
    ]

    assert refused.status_code == 422
    assert "region" in refused.json()["detail"]
    assert made.status_code == 201
    assert [answer.status_code for answer in answers] == [409, 201, 201, 204, 201, 409]


# --- queues and pools ------------------------------------------------------------------------------------------------


def test_pool_with_unfinished_runs_is_deleted_by_force_only(api, clock):
    api.send("/work_pools/", {"name": "forge", "type": "process"})
    made = deploy(api, schedules=[HOURLY], work_pool_name="forge", work_queue_name="big").json()
    queue = api.read("/work_pools/forge/queues/big").json()
    pool = "/work_pools/forge"
    paths = [pool, f"{pool}?force=false", f"{pool}/queues/big?force=false", f"/work_queues/{queue['id']}?force=false"]

    refused = [api.call("DELETE", path) for path in paths]
    forced = [api.call("DELETE", f"{path}?force=true") for path in (f"{pool}/queues/big", pool)]

    assert [answer.status_code for answer in refused] == [409] * 4
    assert all("1 deployment and 3 unfinished runs" in answer.json()["detail"] for answer in refused)
    assert [answer.status_code for answer in forced] == [204, 204]
    assert api.read(f"/deployments/{made['id']}").json()["work_pool_name"] is None


def test_pool_without_runs_and_any_queue_go_as_clients_of_prefect_expect(api, clock):
    api.send("/work_pools/", {"name": "forge", "type": "process"})
    idle = deploy(api, name="idle", work_pool_name="forge").json()
    busy = deploy(api, schedules=[HOURLY], work_queue_name="big").json()
    queue = api.read("/work_pools/default-agent-pool/queues/big").json()

    kept = api.call("DELETE", "/work_pools/forge?force=false")
    answers = [api.call("DELETE", path) for path in ("/work_pools/forge", f"/work_queues/{queue['id']}")]
    api.send("/work_queues/", {"name": "big"})

    assert kept.status_code == 409
    assert [answer.status_code for answer in answers] == [204, 204]
    assert api.read(f"/deployments/{idle['id']}").json()["work_pool_name"] is None
    assert api.read(f"/deployments/{busy['id']}").json()["work_queue_name"] == "big"


def test_default_pool_is_not_deleted_under_its_deployments(api, clock):
    deploy(api, schedules=[HOURLY], work_queue_name="default")

    assert api.call("DELETE", "/work_pools/default-agent-pool").status_code == 409
    assert api.read("/work_pools/default-agent-pool").status_code == 200


@pytest.mark.parametrize("pool", [None, "forge"])
@pytest.mark.parametrize("by", ["queue", "deployment", "agent"])
def test_queue_that_is_created_again_is_found_again(api, clock, pool, by):
    if pool:
        api.send("/work_pools/", {"name": pool, "type": "process"})
    where = {"work_queue_name": "big", **({"work_pool_name": pool} if pool else {})}
    made = deploy(api, schedules=[HOURLY], **where).json()
    other = deploy(api, name="other", schedules=[HOURLY], **where).json()
    name = pool or "default-agent-pool"
    api.call("DELETE", f"/work_pools/{name}?force=true")

    if pool:
        api.send("/work_pools/", {"name": pool, "type": "process"})
    if by == "queue":
        api.send(f"/work_pools/{pool}/queues" if pool else "/work_queues/", {"name": "big"})
    elif by == "deployment":
        deploy(api, schedules=[HOURLY], **where)
    else:
        agent = {"name": "a", "incarnation": "01a221af-ed01-7000-8000-000000000001", "queues": ["big"], "pool": pool}
        api.send("/agents/register", {key: value for key, value in agent.items() if value})
        api.send(f"/work_pools/{pool}/queues" if pool else "/work_queues/", {"name": "big"})

    queue = api.read(f"/work_pools/{name}/queues/big").json()
    for one in (made, other):
        answer = api.read(f"/deployments/{one['id']}").json()
        assert (answer["work_pool_name"], answer["work_queue_name"]) == (name, "big")
        assert {run["work_queue_id"] for run in planned_runs(api, one)} == {queue["id"]}
    assert {run["work_pool_name"] for run in planned_runs(api, made)} == {name}
