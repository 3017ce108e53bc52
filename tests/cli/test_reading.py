"""Commands that read: runs of one home, made once, looked at from all sides."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml

from tests.cli.conftest import companion, run_orion
from tests.homes import ready_home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Three runs: one that completed, one that failed, and an unfinished one."""
    home = ready_home(tmp_path_factory.mktemp("reading-home"))
    for words in (
        ["shop.py:greet", "-p", "name=Ada", "-p", "times=3", "--name", "good-run", "--tag", "nightly"],
        ["shop.py:broken", "--name", "bad-run"],
        ["shop.py:greet", "-p", "name=Bob", "--name", "twin"],
        ["shop.py:greet", "-p", "name=Eve", "--name", "twin"],
    ):
        run_orion(home, "run", *words)
    return home


@pytest.fixture(scope="module")
def orion(home):
    with companion(home) as orion:
        yield orion


@pytest.fixture(scope="module")
def runs(orion):
    return {run["name"]: run for run in json.loads(orion("fr", "ls", "-o", "json").out)}


READING = [
    ["flow-run", "ls"],
    ["flow-run", "inspect", "good-run"],
    ["flow-run", "logs", "good-run"],
    ["flow-run", "why", "bad-run"],
    ["task-run", "ls"],
    ["task-run", "inspect", "good-run/count_letters-0"],
    ["task-run", "logs", "good-run/count_letters-0"],
    ["task-run", "why", "@last-failed"],
    ["flow", "ls"],
    ["flow", "inspect", "greet"],
    ["flow-run", "watch", "good-run"],
    ["config", "view"],
    ["profile", "ls"],
    ["profile", "inspect"],
    ["version"],
    ["doctor"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_every_reading_command_gives_valid_json(orion, words):
    answer = orion(*words, "-o", "json")

    assert answer.code == 0, answer.err
    assert isinstance(json.loads(answer.out), dict | list)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_every_reading_command_has_a_table_without_colours(orion, words):
    answer = orion(*words)

    assert answer.code == 0, answer.err
    assert answer.out.strip() or words[0] == "config"
    assert "\x1b" not in answer.out + answer.err


def test_lists_come_in_all_forms(orion):
    lines = orion("fr", "ls", "-o", "jsonl").out.splitlines()
    table = orion("fr", "ls").out

    assert [json.loads(line)["name"] for line in lines] == ["twin", "twin", "bad-run", "good-run"]
    assert [run["name"] for run in yaml.safe_load(orion("fr", "ls", "-o", "yaml").out)] == [
        "twin",
        "twin",
        "bad-run",
        "good-run",
    ]
    assert orion("fr", "ls", "-o", "name").out.splitlines() == ["twin", "twin", "bad-run", "good-run"]
    assert next(csv.DictReader(io.StringIO(orion("fr", "ls", "-o", "csv").out)))["run"] == "twin"
    assert "no luck" in table
    assert json.loads(lines[0])["id"] in table, "a table that no person reads shows whole ids"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state:failed", ["bad-run"]),
        ("flow:greet tag:nightly", ["good-run"]),
        ("flow:gre*", ["twin", "twin", "good-run"]),
        ("bad", ["bad-run"]),
        ("since:-1h", ["twin", "twin", "bad-run", "good-run"]),
        ("until:-1h", []),
        ("state:unfinished", []),
        ("task:fail-0", ["bad-run"]),
    ],
)
def test_queries_narrow_the_list(orion, query, names):
    assert orion("fr", "ls", query, "-o", "name").out.splitlines() == names


def test_pages_follow_each_other_without_gap_or_repetition(orion):
    first = json.loads(orion("fr", "ls", "--limit", "3", "--json").out)

    second = json.loads(orion("fr", "ls", "--after", first[-1]["id"], "--json").out)

    assert [run["name"] for run in first + second] == ["twin", "twin", "bad-run", "good-run"]


def test_the_end_of_a_table_counts_what_is_not_shown(orion):
    answer = orion("fr", "ls", "--limit", "1")

    assert "1 of 4 shown" in answer.err


def test_runs_are_found_by_name_id_beginning_of_id_and_last(orion, runs):
    bad = runs["bad-run"]["id"]

    found = [orion("fr", "inspect", wanted, "-o", "json") for wanted in ("bad-run", bad, bad[:-4], "@last-failed")]

    assert [json.loads(answer.out)["id"] for answer in found] == [bad] * 4
    assert json.loads(orion("fr", "inspect", "@last", "--json").out)["name"] == "twin"


def test_an_ambiguous_name_lists_the_candidates(orion):
    answer = orion("fr", "inspect", "twin")

    ids = {run["id"] for run in json.loads(orion("fr", "ls", "name:twin", "--json").out)}
    assert answer.code == 5
    assert all(run_id in answer.err for run_id in ids)
    assert answer.out == ""


@pytest.mark.parametrize(
    "words",
    [
        ["fr", "inspect", "god-run"],
        ["fr", "why", "00000000-0000-0000-0000-000000000000"],
        ["tr", "inspect", "good-run/nothing-0"],
        ["flow", "inspect", "gret"],
        ["fr", "logs", "good-run", "--task", "nothing-0"],
    ],
    ids=" ".join,
)
def test_missing_objects_end_with_exit_code_5(orion, words):
    answer = orion(*words)

    assert answer.code == 5
    assert "Traceback" not in answer.err


def test_a_misspelt_name_proposes_the_right_one(orion):
    assert "good-run" in orion("fr", "inspect", "god-run").err
    assert "greet" in orion("flow", "inspect", "gret").err


def test_inspect_shows_parameters_progress_and_states(orion):
    shown = orion("fr", "inspect", "good-run").out

    assert "name = Ada" in shown
    assert "3/3 finished" in shown
    assert [word for word in ("Pending", "Running", "Completed") if word not in shown] == []


def test_why_prints_the_reason_and_with_all_every_rule(orion):
    short, whole = orion("fr", "why", "bad-run").out, orion("fr", "why", "bad-run", "--all").out

    assert "bad-run is Failed" in short
    assert "no luck" in short
    assert len(whole.splitlines()) > len(short.splitlines())


def test_logs_can_be_narrowed(orion):
    whole = orion("fr", "logs", "good-run").out
    warnings = orion("fr", "logs", "good-run", "--level", "warning").out
    task = orion("fr", "logs", "good-run", "--task", "count_letters-1").out
    grep = orion("fr", "logs", "good-run", "--grep", "hel+o").out
    tail = orion("fr", "logs", "good-run", "--tail", "2").out

    assert "hello Ada" in whole
    assert "counting Ada" in whole
    assert "counting" not in warnings
    assert "hello Ada" in warnings
    assert "hello" not in task
    assert "counting Ada" in task
    assert len(grep.splitlines()) == 1
    assert tail.splitlines() == whole.splitlines()[-2:]


def test_following_the_log_of_a_finished_run_ends(orion):
    followed = orion("fr", "logs", "-f", "good-run")

    assert followed.code == 0
    assert followed.out == orion("fr", "logs", "good-run").out


def test_watching_a_finished_run_ends_with_its_code(orion):
    assert orion("fr", "watch", "bad-run").code == 1
    assert "Completed" in orion("fr", "watch", "good-run").out


def test_utc_and_zones_change_only_what_people_read(orion):
    assert "+00:00" in orion("fr", "inspect", "good-run", "--utc").out
    assert "+09:00" in orion("fr", "inspect", "good-run", "--tz", "Asia/Tokyo").out


def test_colours_can_be_forced_and_forbidden(orion):
    assert "\x1b[" in orion("fr", "ls", FORCE_COLOR="1").out
    assert "\x1b[" not in orion("fr", "ls", "--no-color", FORCE_COLOR="1").out


def test_ascii_terminals_get_ascii(home):
    shown = run_orion(home, "fr", "ls", PYTHONIOENCODING="ascii", LC_ALL="C").out

    assert shown.isascii()
    assert "x Failed" in shown


def test_a_raw_request_prints_the_answer(home):
    answer = run_orion(home, "api", "POST", "/flow_runs/filter", "-d", "@-", stdin='{"limit": 1}')

    assert json.loads(answer.out)[0]["name"] == "twin"


def test_a_raw_request_needs_no_slash_at_its_end(orion):
    answer = orion("api", "POST", "/flows", "-d", '{"name": "without a slash"}')

    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["name"] == "without a slash"


def test_bad_input_of_a_raw_request_names_the_field(orion):
    answer = orion("api", "POST", "/flow_runs/filter", "-d", '{"limit": -1}')

    assert answer.code == 2
    assert "limit" in answer.err
