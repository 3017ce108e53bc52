"""`orion problem`: what failed, by its cause, and what is done about it."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import companion


@pytest.fixture(scope="module")
def orion(tmp_path_factory):
    with companion(tmp_path_factory.mktemp("problems") / "home") as orion:
        orion("run", "shop.py:broken", "-p", "why=no luck")
        orion("run", "shop.py:broken", "-p", "why=no luck")
        yield orion


def only(orion) -> dict:
    return json.loads(orion("problem", "ls", "--all", "-o", "json").out)[0]


def test_failures_of_one_cause_are_one_line(orion):
    answer = orion("problem", "ls", "--all")

    assert answer.code == 0, answer.err
    assert "no luck" in answer.out
    assert "shop.py:fail" in answer.out
    assert only(orion)["runs"] == 2


def test_a_problem_is_shown_by_the_beginning_of_its_id(orion):
    one = only(orion)

    for wanted in ("@last", one["id"], one["id"][:6], one["id"].replace("-", "")[:12].upper()):
        shown = orion("problem", "show", wanted)
        assert shown.code == 0, shown.err
        assert one["title"] in shown.out


@pytest.mark.parametrize("wanted", ["zzz", "", "f" * 33, "../x", "@first"])
def test_an_unknown_problem_is_reported(orion, wanted):
    answer = orion("problem", "show", wanted)

    assert answer.code == 5
    assert "There is no problem" in answer.err


def test_its_runs_are_listed(orion):
    answer = orion("fr", "ls", f"problem:{only(orion)['id'][:8]}", "-o", "json")

    assert len(json.loads(answer.out)) == 2


def test_a_retry_lists_the_runs_that_can_and_cannot_be_retried(orion):
    answer = orion("problem", "retry", "@last", "--dry-run")

    assert answer.code == 0, answer.err
    assert answer.out.startswith("0 can be retried, 2 cannot (2: this run has no deployment")


def test_people_decide_about_it(orion):
    assert "Muted until it has failed 12 times" in orion("problem", "mute", "@last", "--grows-by", "10").out
    assert "It is ongoing" in orion("problem", "unmute", "@last").out
    assert "Assigned to ada" in orion("problem", "assign", "@last", "ada").out
    assert only(orion)["assignee"] == "ada"
    assert "Assigned to nobody" in orion("problem", "assign", "@last").out
    resolved = json.loads(orion("problem", "resolve", "@last", "-o", "json").out)
    assert resolved["status"] == "resolved"
    assert orion("problem", "ls").code == 0
    assert "It is ongoing" in orion("problem", "unmute", "@last").out


def test_invalid_arguments_are_refused(orion):
    assert orion("problem", "mute", "@last", "--grows-by", "0").code == 2
    assert orion("problem", "mute", "@last", "--until", "never").code == 2
    assert orion("problem", "ls", "--status", "sad").code == 2


def test_nothing_waits(orion):
    assert "No run waits longer than it should." in orion("problem", "waiting").err
