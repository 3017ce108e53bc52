"""`orion deploy` and `orion deployment`: what a file would change, what it changes, and how deployments are named."""

from __future__ import annotations

import json
import textwrap

import click
import pytest

from orionflow.cli.work_queue import split_queues
from tests.cli.conftest import companion

FLOWS = """
from orionflow import flow


@flow
def etl(day: str = "2026-01-01", limit: int = 5) -> int:
    return limit
"""
FILE = """
name: shop
deployments:
  - name: prod
    entrypoint: flows.py:etl
    parameters: {limit: 5}
    schedules:
      - cron: "0 6 * * 1-5"
        timezone: Europe/Berlin
      - interval: 3600
  - name: test
    entrypoint: flows.py:etl
    paused: true
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "flows.py").write_text(FLOWS)
    return folder


@pytest.fixture(scope="module")
def session(folder):
    with companion(folder / "home", cwd=folder) as orion:
        yield orion


@pytest.fixture
def orion(session, folder):
    """In a folder with flows.py and orion.yaml; nothing is deployed."""
    (folder / "orion.yaml").write_text(FILE)
    if names := session("dep", "ls", "-o", "json").out:
        for one in json.loads(names):
            session("dep", "delete", one["id"], "--yes")
    return session


def deployments(orion):
    return {one["name"]: one for one in json.loads(orion("dep", "ls", "-o", "json").out)}


def test_a_file_is_deployed_once(orion, folder):
    first, second = orion("deploy"), orion("deploy")

    assert first.out.splitlines() == ["etl/prod: created", "etl/test: created"]
    assert second.out.splitlines() == ["etl/prod: no change", "etl/test: no change"]
    prod = deployments(orion)["prod"]
    assert (prod["path"], prod["entrypoint"]) == (str(folder), "flows.py:etl")
    assert prod["manifest_path"] == "orion.yaml:shop"


def test_dry_run_shows_what_would_change_and_changes_nothing(orion, folder):
    orion("deploy")
    text = FILE.replace("limit: 5", "limit: 6").replace("0 6 * * 1-5", "0 7 * * 1-5").replace("name: test", "name: new")
    (folder / "orion.yaml").write_text(text)
    before = deployments(orion)

    answer = orion("deploy", "--dry-run", "--prune")

    assert 'parameters: {"limit": 5} -> {"limit": 6}' in answer.out
    assert "0 6 * * 1-5 (Europe/Berlin)" in answer.out
    assert "0 7 * * 1-5 (Europe/Berlin)" in answer.out
    assert "etl/new: would be created" in answer.out
    assert "etl/test: would be deleted" in answer.out
    assert "Nothing was done" in answer.err
    assert deployments(orion) == before


def test_plan_can_be_read_by_programs(orion):
    orion("deploy", "-n", "prod")

    plan = {one["name"]: one for one in json.loads(orion("deploy", "--dry-run", "-o", "json").out)}

    assert plan["etl/prod"] == {"name": "etl/prod", "plan": "same", "changes": []}
    assert {"field": "paused", "before": None, "after": True} in plan["etl/test"]["changes"]


def test_prune_deletes_deployments_of_this_project_only(orion, folder):
    orion("deploy")
    orion("dep", "build", "flows.py:etl", "-n", "foreign", "--apply")
    (folder / "orion.yaml").write_text(FILE.partition("  - name: test")[0])

    refused = orion("deploy", "--prune")
    done = orion("deploy", "--prune", "--yes")

    assert refused.code == 2
    assert refused.out == ""
    assert "No longer in the file of the project shop:\n  etl/test\n" in refused.err
    assert "etl/test: deleted" in done.out
    assert set(deployments(orion)) == {"prod", "foreign"}


def test_prune_is_refused_where_the_project_has_no_name(orion, folder):
    """The default is the name of the folder, and another team may have a folder of this name."""
    (folder / "orion.yaml").write_text(FILE.replace("name: shop\n", f"name: {folder.name}\n", 1))
    orion("deploy")
    (folder / "orion.yaml").write_text(FILE.replace("name: shop\n", "").partition("  - name: test")[0])

    deployed, pruned = orion("deploy"), orion("deploy", "--prune", "--yes")

    assert deployed.code == 0
    assert pruned.code == 2
    assert "has no `name:`" in pruned.err
    assert set(deployments(orion)) == {"prod", "test"}
    assert deployments(orion)["prod"]["manifest_path"] is None


WRONG = [
    ("schedules: [{cron: '61 * * * *'}]", "61"),
    ("schedules: [{cron: '0 6 * * *', timezone: Europe/Nowhere}]", "Nowhere"),
    ("schedules: [{cron: '0 6 * * *', calendars: [holidays]}]", "holidays"),
    ("schedules: [{rrule: 'FREQ=SOMETIMES'}]", ""),
    ("work_pool: {name: nowhere}", "nowhere"),
    ("parameters: {limit: many}", "limit"),
]


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("line", "words"), WRONG)
def test_errors_are_found_before_anything_is_changed(orion, folder, line, words, dry_run):
    text = f"{FILE}  - name: wrong\n    entrypoint: flows.py:etl\n    {line}\n"
    (folder / "orion.yaml").write_text(text)

    answer = orion("deploy", *(["--dry-run"] if dry_run else []))

    assert answer.code in (2, 5)
    assert "wrong" in answer.err.splitlines()[0]
    assert words in answer.err
    assert "created" not in answer.out.replace("would be created", "")
    assert deployments(orion) == {}


def test_every_error_of_a_file_is_reported(orion, folder):
    wrong = "".join(
        f"  - name: wrong{number}\n    entrypoint: flows.py:etl\n    work_pool: {{name: nowhere}}\n"
        for number in (1, 2)
    )
    (folder / "orion.yaml").write_text(FILE + wrong)

    answer = orion("deploy", "--dry-run")

    assert "etl/prod: would be created" in answer.out
    assert "etl/wrong1 cannot be deployed." in answer.err
    assert "etl/wrong2 cannot be deployed." in answer.err


def test_a_deployment_that_occurs_twice_in_a_file_is_refused(orion, folder):
    (folder / "orion.yaml").write_text(FILE.replace("name: test", "name: prod"))

    answer = orion("deploy")

    assert answer.code == 2
    assert "it has etl/prod more than once" in answer.err


def test_file_of_prefect_is_read(orion, folder):
    (folder / "prefect.yaml").write_text(
        textwrap.dedent(
            """
            name: shop
            prefect-version: 2.20.3
            build: null
            push:
            - prefect.deployments.steps.run_shell_script: {script: echo}
            pull:
            - prefect.deployments.steps.git_clone: {repository: "https://host/shop.git", branch: main}
            deployments:
            - name: theirs
              version: "3"
              tags: [a]
              description: null
              entrypoint: flows.py:etl
              parameters: {}
              work_pool: {name: null, work_queue_name: big, job_variables: {env: {A: "1"}}}
              schedules:
              - cron: 0 6 * * *
                day_or: true
                active: true
                max_scheduled_runs: null
            """
        )
    )

    answer = orion("deploy", "prefect.yaml")
    again = orion("deploy", "prefect.yaml")

    assert answer.out == "etl/theirs: created\n"
    assert again.out == "etl/theirs: no change\n"
    assert "`push:` is not carried out" in answer.err
    theirs = deployments(orion)["theirs"]
    assert (theirs["work_queue_name"], theirs["version"], theirs["path"]) == ("big", "3", None)
    assert theirs["pull_steps"][0]["prefect.deployments.steps.git_clone"]["branch"] == "main"


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("deployments: {}", 2, "no list"),
        ("deployments: [{entrypoint: flows.py:etl}]", 2, "needs a `name:`"),
        ("deployments: [{name: a}]", 2, "no `entrypoint:`"),
        ("deployments: [{name: a, entrypoint: flows.py:etl, colour: red}]", 2, "says colour"),
        ("deployments: [{name: a, entrypoint: flows.py:nothing}]", 5, "There is no flow 'nothing'"),
        ("deployments: [{name: a, entrypoint: flows.py:etl, parameters: {dy: 1}}]", 2, "no parameter 'dy'"),
        ("deployments: [{name: a, entrypoint: flows.py:etl, schedules: [{cron: x}]}]", 2, "cron"),
        ("deployments: [", 2, "cannot be understood"),
    ],
)
def test_file_that_cannot_be_understood_is_explained(orion, folder, text, code, words):
    (folder / "orion.yaml").write_text(text)

    answer = orion("deploy")

    assert answer.code == code
    assert words in answer.err
    assert deployments(orion) == {}


def test_missing_file_and_name_are_reported(orion, folder):
    (folder / "prefect.yaml").unlink(missing_ok=True)
    wrong_name = orion("deploy", "-n", "prd")
    (folder / "orion.yaml").unlink()
    no_file = orion("deploy")

    assert (wrong_name.code, no_file.code) == (5, 5)
    assert "did you mean prod?" in wrong_name.err
    assert "deployment build" in no_file.err


def test_built_file_is_applied(orion, folder):
    built = orion(
        "dep", "build", "flows.py:etl", "-n", "built", "-p", "limit=2", "--cron", "0 6 * * *", "-o", "built.yaml"
    )
    applied = orion("dep", "apply", "built.yaml")

    assert built.code == 0, built.err
    assert applied.out == "etl/built: created\n"
    found = deployments(orion)["built"]
    assert found["parameters"] == {"limit": 2}
    assert found["schedules"][0]["schedule"]["cron"] == "0 6 * * *"


def test_build_prints_the_file_or_deploys_it(orion, folder):
    printed = orion("dep", "build", "flows.py:etl", "-n", "at-once", "-p", "limit=2")
    deployed = orion("dep", "build", "flows.py:etl", "-n", "at-once", "-p", "limit=2", "--apply")

    assert printed.out.startswith("deployments:")
    assert deployed.out == ""
    assert "Deployed etl/at-once" in deployed.err
    orion("dep", "delete", "etl/at-once", "--yes")


def test_deployment_is_named_in_many_ways(orion):
    orion("deploy")
    id = deployments(orion)["prod"]["id"]

    for name in ("etl/prod", "prod", id, id[:26]):
        assert json.loads(orion("dep", "inspect", name, "-o", "json").out)["id"] == id
    wrong = orion("dep", "inspect", "etl/prd")
    assert wrong.code == 5
    assert "did you mean etl/prod" in wrong.err


def test_run_is_asked_for_with_parameters_and_a_time(orion):
    orion("deploy")

    run = json.loads(orion("dep", "run", "etl/prod", "-p", "day=2026", "--in", "2h", "--name", "later", "--json").out)
    again = json.loads(orion("dep", "run", "prod", "--idempotency-key", "k", "--json").out)
    same = json.loads(orion("dep", "run", "prod", "--idempotency-key", "k", "--json").out)

    assert run["parameters"] == {"day": "2026", "limit": 5}
    assert run["name"] == "later"
    assert run["expected_start_time"] > run["created"]
    assert again["id"] == same["id"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["-p", "limt=3"], 2, "did you mean limit?"),
        (["-p", "limit=lots"], 6, "not of type 'integer'"),
        (["--at", "today", "--in", "2h"], 2, "not both"),
        (["--in", "3000000d"], 2, "is not in the years 1 to 9999"),
        (["--wait", "--timeout", "0s"], 9, "still active"),
    ],
)
def test_run_that_cannot_be_is_refused(orion, words, code, expected):
    orion("deploy")

    answer = orion("dep", "run", "etl/prod", *words)

    assert answer.code == code
    assert expected in answer.err


def test_deployment_with_several_schedules_is_paused_and_resumed(orion):
    orion("deploy")

    paused = orion("dep", "pause", "etl/prod")
    there = deployments(orion)["prod"]["paused"]
    resumed = orion("dep", "resume", "etl/prod")

    assert (paused.code, resumed.code) == (0, 0), paused.err
    assert there
    assert not deployments(orion)["prod"]["paused"]


def test_schedules_are_added_paused_previewed_and_cleared(orion):
    orion("deploy", "-n", "test")

    added = orion(
        *("dep", "schedule", "create", "test", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"),
        *("--max-runs", "3", "--catchup", "latest", "--spread", "10m", "--params", '{"limit": 1}', "-o", "json"),
    )
    preview = orion("dep", "schedule", "preview", "test", "--after", "2027-03-27T12:00+00:00", "--count", "2", "--json")
    orion("dep", "schedule", "pause", "test")
    listed = json.loads(orion("dep", "schedule", "ls", "test", "-o", "json").out)
    feed = orion("dep", "schedule", "export", "test", "--ics")
    cleared = orion("dep", "schedule", "clear", "test", "--yes")

    schedule = json.loads(added.out)[0]
    assert (schedule["max_runs"], schedule["misfire"], schedule["parameters"]) == (3, "latest", {"limit": 1})
    times = json.loads(preview.out)
    assert times[0]["at"].startswith("2027-03-28T")
    assert times[0]["note"]
    assert [one["active"] for one in listed] == [False]
    assert feed.out.startswith("BEGIN:VCALENDAR")
    assert cleared.code == 0
    assert json.loads(orion("dep", "schedule", "ls", "test", "-o", "json").out) == []


@pytest.mark.parametrize("end", ["2026-11-20T02:00", "2026-11-21T22:00"])
def test_stretch_of_a_calendar_that_ends_before_it_begins_is_refused(orion, end):
    answer = orion("calendar", "create", "works", "--from", "2026-11-21T22:00", "--to", end)

    assert answer.code == 2
    assert f"--to {end} is not after --from 2026-11-21T22:00" in answer.err
    assert json.loads(orion("calendar", "ls", "-o", "json").out) == []


def test_calendar_that_a_schedule_names_cannot_be_deleted(orion):
    orion("deploy", "-n", "test")
    made = orion("calendar", "create", "closed", "--day", "2026-12-24", "--day", "2026-12-25")
    orion("dep", "schedule", "create", "test", "--cron", "0 6 * * *", "--exclude", "closed")

    times = orion("dep", "schedule", "preview", "test", "--after", "2026-12-23T12:00+00:00", "--count", "3", "--json")
    refused = orion("calendar", "delete", "closed", "--yes")
    orion("dep", "schedule", "clear", "test", "--yes")
    deleted = orion("calendar", "delete", "closed", "--yes")

    assert made.code == 0, made.err
    assert [one["note"] or "runs" for one in json.loads(times.out)] == [*["left out by a calendar"] * 2, "runs"]
    assert refused.code == 6
    assert deleted.code == 0


def test_work_queue_is_limited_paused_and_previewed(orion):
    orion("deploy")
    # At one minute to six its planned run would be listed, too.
    orion("dep", "schedule", "clear", "prod", "--yes")
    orion("dep", "run", "etl/prod", "--name", "first")

    shown = orion("wq", "preview", "default", "--within", "1m", "-o", "name")
    orion("wq", "set-concurrency-limit", "default", "3")
    orion("wq", "priority", "default-agent-pool/default", "2")
    paused = json.loads(orion("wq", "pause", "default", "-o", "json").out)[0]
    hidden = orion("wq", "preview", "default", "--within", "1m", "-o", "name")
    orion("wq", "resume", "default")

    assert shown.out.splitlines() == ["first"]
    assert (paused["concurrency_limit"], paused["priority"], paused["status"]) == (3, 2, "PAUSED")
    assert hidden.out == ""
    assert paused["last_polled"] is None, "to look is not to serve"


@pytest.mark.parametrize(
    "words",
    [
        ["--cron", "30 6 * * *", "--timezone", "Asia/Tokyo", "--ends", "0001-01-01"],
        ["--interval", "1h", "--anchor-date", "0001-01-01T00:00+14:00"],
    ],
)
def test_no_schedule_has_a_moment_beyond_all_dates(orion, words):
    answer = orion("dep", "schedule", "preview", *words)

    assert answer.code == 2
    assert "is not in the years 1 to 9999" in answer.err


@pytest.mark.parametrize("kind", ["work-queue", "work-pool"])
def test_no_preview_reaches_beyond_all_dates(orion, kind):
    orion("deploy")

    answer = orion(kind, "preview", "default" if kind == "work-queue" else "default-agent-pool", "--within", "3000000d")

    assert answer.code == 2
    assert "is not in the years 1 to 9999" in answer.err


def test_ways_to_serve_a_queue_name_its_pool(orion):
    orion("work-pool", "create", "forge")
    orion("deploy", "-n", "prod")

    own = orion("wq", "create", "calm")
    made = orion("wq", "create", "urgent", "--pool", "forge")
    unserved = orion("dep", "run", "etl/prod")

    assert made.out.strip().endswith("with orion agent start --pool forge -q urgent")
    assert own.out.strip().endswith("with orion agent start -q calm")
    assert unserved.err.strip().endswith("start one with orion agent start -q default")


def test_a_deployment_without_its_queue_has_a_note(orion):
    orion("deploy", "-n", "prod")
    orion("work-pool", "delete", "default-agent-pool", "--yes", "--force")

    listed = orion("dep", "ls")
    asked = orion("dep", "run", "etl/prod")

    assert "default (deleted)" in listed.out
    assert "deploy it again" in asked.err


def test_pool_that_is_used_is_deleted_by_force_only(orion):
    orion("deploy", "-n", "prod")

    refused = orion("work-pool", "delete", "default-agent-pool", "--yes")

    assert refused.code != 0
    assert "1 deployment and" in refused.err
    assert "--force" in refused.err
    assert "default-agent-pool/default" in orion("dep", "ls").out


def test_deploying_again_heals_a_deployment_whose_queue_was_deleted(orion):
    orion("deploy", "-n", "prod")
    orion("work-pool", "delete", "default-agent-pool", "--yes", "--force")

    planned = json.loads(orion("deploy", "-n", "prod", "--dry-run", "-o", "json").out)
    orion("deploy", "-n", "prod")
    again = json.loads(orion("deploy", "-n", "prod", "-o", "json").out)

    assert [change["field"] for change in planned[0]["changes"]] == ["work_pool_name"]
    assert again[0]["plan"] == "same"
    assert "default-agent-pool/default" in orion("dep", "ls").out


def test_schedules_are_listed_with_the_numbers_that_name_them(orion):
    orion("deploy", "-n", "prod")

    listed = orion("dep", "schedule", "ls", "prod")

    assert [line.split()[0] for line in listed.out.splitlines()] == ["NO", "1", "2"]


def test_queues_of_an_agent_may_be_written_with_their_pool():
    assert split_queues(None, ["forge/urgent", "forge/calm"]) == ("forge", ("urgent", "calm"))
    assert split_queues("forge", ["urgent", "forge/calm"]) == ("forge", ("urgent", "calm"))
    assert split_queues(None, ["urgent"]) == (None, ("urgent",))
    assert split_queues("forge", []) == ("forge", ())


@pytest.mark.parametrize(("pool", "queues"), [(None, ["a/x", "b/y"]), ("b", ["a/x"]), (None, ["a/x", "y"])])
def test_agent_serves_one_pool(pool, queues):
    with pytest.raises(click.UsageError, match="one agent for each pool"):
        split_queues(pool, queues)


def test_failed_run_of_a_deployment_is_retried_by_an_agent(orion):
    orion("deploy")
    run = json.loads(orion("dep", "run", "etl/prod", "--json").out)
    orion("api", "POST", f"/flow_runs/{run['id']}/set_state", "-d", '{"state": {"type": "FAILED"}, "force": true}')

    answer = orion("fr", "retry", run["id"], "-o", "json")

    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["state_type"] == "SCHEDULED"


def test_variable_is_set_read_and_unset(orion):
    created, changed = orion("variable", "set", "season", "summer"), orion("variable", "set", "season", "winter")
    value = orion("variable", "get", "season")
    gone = orion("variable", "unset", "season", "--yes")
    missing = orion("variable", "get", "season")

    assert ("created" in created.err, "changed" in changed.err) == (True, True)
    assert value.out == "winter\n"
    assert (gone.code, missing.code) == (0, 5)


def test_limits_are_listed_with_their_holders(orion):
    orion("cl", "create", "gpu", "2")
    orion("gcl", "create", "database", "5", "--decay", "0.5")

    limits = json.loads(orion("cl", "ls", "-o", "json").out)
    shared = json.loads(orion("gcl", "inspect", "database", "-o", "json").out)

    assert [(one["tag"], one["concurrency_limit"], one["active_slots"]) for one in limits] == [("gpu", 2, [])]
    assert (shared["limit"], shared["slot_decay_per_second"]) == (5, 0.5)
    assert orion("cl", "holders", "gpu").err.strip() == "Nobody holds a slot of gpu."
    assert json.loads(orion("gcl", "holders", "database", "-o", "json").out) == []


def test_run_that_holds_a_slot_is_shown_and_its_slot_taken(orion):
    orion("deploy")
    run = json.loads(orion("dep", "run", "etl/prod", "--name", "held", "--json").out)
    waiting = json.loads(orion("wq", "waiters", "default", "-o", "json").out)
    orion("api", "POST", f"/flow_runs/{run['id']}/set_state", "-d", '{"state": {"type": "PENDING"}}')

    holding = json.loads(orion("wq", "holders", "default", "-o", "json").out)
    released = orion("fr", "release", "held", "--message", "It hangs.", "--yes")

    assert run["id"] in [one["id"] for one in waiting]
    assert [one["name"] for one in holding] == ["held"]
    assert released.out == "held is Crashed.\n"
    assert json.loads(orion("wq", "holders", "default", "-o", "json").out) == []


def test_file_that_is_not_text_is_explained(orion, folder):
    (folder / "orion.yaml").write_bytes(b"\xc1\xff")
    (folder / "orion.json").write_text("{")

    for name in ("orion.yaml", "orion.json"):
        answer = orion("deploy", name)

        assert answer.code == 2
        assert "cannot be understood" in answer.err


def test_a_preview_is_shown_in_the_zone_of_its_schedule_unless_another_is_asked_for(orion):
    line = ("dep", "schedule", "preview", "--cron", "30 6 * * *", "--timezone", "Europe/Berlin", "--count", "1")
    orion("deploy")

    draft, stored = orion(*line), orion("dep", "schedule", "preview", "etl/prod", "1", "--count", "1")
    asked = orion(*line, "--utc")

    assert " 06:30:00 +0" in draft.out
    assert " 06:00:00 +0" in stored.out
    assert "+00:00" in asked.out


def test_the_anchor_is_spelt_as_in_files_and_in_the_api(orion):
    line = ("dep", "schedule", "preview", "--interval", "1h", "--anchor-date", "2026-01-01T00:20+00:00", "--utc")

    assert ":20:00 +00:00" in orion(*line).out
    assert "--anchor-date belongs to" in orion("dep", "schedule", "preview", "--anchor-date", "2026-01-01").err
