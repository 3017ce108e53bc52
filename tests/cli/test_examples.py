"""Every example that help shows is run, in a home where the runs it speaks of exist."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orionflow.cli.command import WithExamples
from tests.cli.commands import all_commands, all_groups, words_of
from tests.cli.conftest import companion, run_orion
from tests.homes import ready_home

GALLERY = Path(__file__).parent / "gallery"
# These commands end on Ctrl-C, after input, or when an agent has done its work.
ENDLESS = ("notify create slack", "notify create mail", "block create slack-webhook/ops")
ENDLESS += (
    "auth login",
    "secret set",
    "server start",
    "services start",
    "agent start",
    "task-worker",
    "run etl/prod --watch",
)
OF_COMMANDS = [
    [line for line, _ in command.examples if not any(words in line for words in ENDLESS)]
    for _, command in [*all_groups(), *all_commands()]
    if isinstance(command, WithExamples)
]
EXAMPLES = dict.fromkeys(line for lines in OF_COMMANDS for line in lines)
# Of each command a brief round runs the first one; that all of them can be read is a test of its own.
FIRST = {line for lines in OF_COMMANDS for line in lines[:1]}
CASES = [line if line in FIRST else pytest.param(line, marks=pytest.mark.long) for line in EXAMPLES]
CODES = {
    # It fails again, because its parameters have not changed.
    "orion flow-run retry @last-failed --entrypoint flows.py:etl": 1,
    # For a flow that was not deployed, only --entrypoint names its code.
    "orion replay @last-failed": 1,
    # They ask before they run code, and no terminal can answer here.
    "orion replay bug.orion --debug": 2,
    "orion replay bug.orion --task load-0 --until load-0": 2,
    "orion replay bug.orion --edit load": 2,
    # The replay fails as the run did.
    "orion replay bug.orion --code capsule --offline --yes": 1,
    # No run of its flow completed before it.
    "orion flow-run diff @last-failed": 5,
    "orion fr diff @last-failed -o json": 5,
    # A finished run can neither be cancelled nor resumed.
    "orion flow-run cancel brave-otter": 6,
    "orion fr cancel brave-otter --detach": 6,
    # Nothing listens there, and messages may go to public hosts only.
    "orion notify test ops": 1,
    "orion notify test slack-webhook/team": 1,
    # It needs the tables of django-celery-beat.
    "orion services schedule": 2,
    # There is no such folder.
    "orion result seal /data/results": 5,
    "orion flow-run resume brave-otter": 6,
    "orion fr resume brave-otter --input approved=true": 6,
}
# The other server in these examples does not exist.
CODES |= {line: 3 for line in EXAMPLES if line.startswith("orion import prefect")}
PROFILES = """
active = "default"
[profiles.default]
api_url = "http://ephemeral.orion/api"
[profiles.staging]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("gallery-home")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A copy: examples write files."""
    return shutil.copytree(GALLERY, tmp_path_factory.mktemp("gallery") / "gallery")


@pytest.fixture(scope="module")
def session(home, gallery):
    with companion(home, cwd=gallery) as orion:
        yield orion


class Prepared:
    """Remembers each preparation by the rows that it left."""

    def __init__(self, database):
        self.database = database
        self.left = {}

    def ensure(self, orion, steps):
        """Take these steps, unless what they left is there as it was."""
        if self.left.get(str(steps), ()) == (rows := self.rows(steps)) and any(rows):
            return
        for step in steps:
            orion(*step)
        self.left[str(steps)] = self.rows(steps)

    def delete_runs_of_deployments(self, orion):
        """Delete the runs of deployments: one that waits for an agent may be due by now, and so be the last run."""
        with closing(sqlite3.connect(self.database)) as database:
            found = database.execute("SELECT 1 FROM runs_flowrun WHERE deployment_id IS NOT NULL LIMIT 1").fetchone()
        if found:
            orion("fr", "delete", "--query", "deployment:*", "--max", "1000", "--yes")

    def rows(self, steps):
        of_runs = "runs_flowrun WHERE deployment_id IS NULL", "runs_taskrun", "runs_problem", "runs_occurrence"
        of_deployments = "deployments_deployment", "deployments_schedule", "deployments_calendar"
        tables = of_deployments if steps == DEPLOYED else of_runs
        with closing(sqlite3.connect(self.database)) as database:
            return [database.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


@pytest.fixture(scope="module")
def prepared(session, home):
    return Prepared(home / "orion.db")


@pytest.fixture
def orion(session, home):
    """A session with fresh profiles."""
    (home / "profiles.toml").write_text(PROFILES)
    return session


# The objects that the examples of a command refer to, by its first words: a failed run of the flow `etl`, and a later
# completed one.
RUNS = [
    ["fr", "delete", "--query", "flow:etl", "--max", "1000", "--yes"],
    ["run", "flows.py:etl", "-p", "limit=0"],
    ["run", "flows.py:etl", "--name", "brave-otter", "--tag", "nightly"],
]
DEPLOYED = [["deploy"], ["calendar", "import", "holidays.ics"]]
QUEUES = [["wq", "create", "big"], *DEPLOYED]
POOLS = [["work-pool", "create", "cluster"]]
LIMITS = [["cl", "create", "gpu", "2"], *RUNS]
TEAM = ["block", "create", "slack-webhook/team", "url=http://127.0.0.1:9/T1", "--overwrite"]
OPS = [TEAM, ["notify", "create", "--block", "slack-webhook/team", "--name", "ops"]]
HUNG = ["automation", "create", "hung", "--stuck-in", "running", "--for", "1h", "--cancel"]
# Its result is stored.
KEPT = [
    ["fr", "delete", "--query", "flow:etl", "--max", "1000", "--yes"],
    ["run", "flows.py:kept", "--name", "brave-otter"],
]
GLOBAL = [["gcl", "create", "database", "5"]]
NEEDED = {
    "deploy": [],
    "flow": RUNS,
    "flow-run": RUNS,
    "fr": RUNS,
    "problem": RUNS,
    "pull": RUNS,
    "bulk": [*RUNS, ["bulk", "start", "cancel", "flow:etl", "--yes"]],
    "replay": [*RUNS, ["pull", "@last-failed", "-f", "bug.orion", "--entrypoint", "flows.py:etl", "--force"]],
    "result": KEPT,
    "task-run": RUNS,
    "tr": RUNS,
    "deployment": DEPLOYED,
    "dep": DEPLOYED,
    "calendar": [["calendar", "create", "closed", "--day", "2026-12-24"]],
    "work-queue": QUEUES,
    "wq": QUEUES,
    "work-pool": POOLS,
    "concurrency-limit": LIMITS,
    "cl": LIMITS,
    "global-concurrency-limit": GLOBAL,
    "gcl": GLOBAL,
    "notify": OPS,
    "automation": [*DEPLOYED, TEAM, HUNG],
    "artifact": [*RUNS, ["run", "flows.py:report"]],
    "block": [["block", "register", "login.json"]],
    "variable": [["variable", "set", "season", "summer"]],
}
ONLY_ONE_SCHEDULE = ("schedule pause", "schedule resume", "schedule delete", "schedule clear", "schedule preview")


def parts_of(steps):
    """The steps, with those together that are skipped together; what else is made may be a file."""
    while steps:
        length = next((len(part) for part in (RUNS, KEPT, DEPLOYED) if steps[: len(part)] == part), 1)
        yield steps[:length]
        steps = steps[length:]


def prepare(orion, line, home, prepared):
    """Have at hand what an example speaks of, and nothing of what it is about to make."""
    words = words_of(line)
    if words[0] in ("secret", "block"):
        run_orion(home, "secret", "set", "github", stdin="s3cret")
    for part in parts_of(NEEDED.get(words[0], [])):
        if len(part) > 1:
            prepared.ensure(orion, part)
        else:
            orion(*part[0])
    if "@last" in words:
        prepared.delete_runs_of_deployments(orion)
    if any(words in line for words in ONLY_ONE_SCHEDULE):
        orion("deploy")
    if "calm-fox" in line:
        orion("deploy")
        run = json.loads(orion("dep", "run", "etl/prod", "--name", "calm-fox", "--json").out)
        state = "PENDING" if "release" in line else "FAILED"
        body = json.dumps({"state": {"type": state}, "force": True})
        orion("api", "POST", f"/flow_runs/{run['id']}/set_state", "-d", body)
    if words[1:2] == ["backfill"]:
        january = ["--from", "2026-01-01", "--to", "2026-01-05", "--interval", "1d"]
        orion("dep", "delete", "etl/prod", "--yes")
        orion("deploy")
        if words[2] in {"inspect", "pause", "resume", "cancel"}:
            orion("dep", "backfill", "create", "etl/prod", "--name", "january", *january)
    if words[1:2] == ["location"]:
        for name in ("lake", "minio", "team"):
            orion("result", "location", "rm", name, "--yes")
        if words[2] != "add":
            orion("result", "location", "add", "lake", str(home / "lake"))
    if words[1:2] == ["create"] and words[2] not in ("gpu", "closed"):
        orion(words[0], "delete", words[2], "--yes")
        orion(words[0], "delete", f"default-agent-pool/{words[2]}", "--yes")


@pytest.mark.parametrize("line", CASES)
def test_the_example_of_a_command_works(orion, home, gallery, line, tmp_path, prepared):
    if "profile create" in line:
        (home / "profiles.toml").unlink()
    prepare(orion, line, home, prepared)

    # A key is kept for a minute after the next one: each rotation has a home of its own.
    answer = run_orion(ready_home(tmp_path), *words_of(line)) if "secret rotate" in line else orion(*words_of(line))

    for made in ("prod.yaml", "result.json", "bug.orion", "brave-otter.orion", "brave-otter.html"):
        (gallery / made).unlink(missing_ok=True)
    assert answer.code == CODES.get(line, 0), answer.err
