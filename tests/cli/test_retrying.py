"""`orion flow-run retry --from` shows what would run again, asks, and retries."""

from __future__ import annotations

import json

import pytest

from orionflow.cli.errors import ExitCode
from orionflow.contract.masking import MASK


@pytest.fixture
def packed(orion, tmp_path):
    """A run that packed three things; where it writes down what it does."""
    items, log = tmp_path / "list", tmp_path / "log"
    items.write_text("hat coat last")
    answer = orion("run", "shop.py:packing", "-p", f"list={items}", "-p", f"log={log}", "--name", "pack-me")
    assert answer.code == 0, answer.err
    log.unlink()
    return log


HERE = ("--entrypoint", "shop.py:packing")


def test_a_dry_run_lists_what_would_run_again_and_changes_nothing(orion, packed):
    answer = orion("fr", "retry", "pack-me", "--from", "packed-1", "--dry-run")
    programs = orion("fr", "retry", "pack-me", "--from", "packed-1", "--dry-run", "-o", "json")

    assert answer.code == 0, answer.err
    assert "2 results reused, 1 call runs again" in answer.err
    assert "1  chosen" in answer.err
    assert (json.loads(programs.out)["reused"], json.loads(programs.out)["again"]) == (2, 1)
    assert not packed.exists()


def test_one_of_many_calls_runs_again(orion, packed):
    answer = orion("fr", "retry", "pack-me", *HERE, "--from", "packed-1", "--yes", "-o", "json")

    run = json.loads(answer.out)
    assert answer.code == 0, answer.err
    assert (run["name"], run["state_type"], run["run_count"]) == ("pack-me", "COMPLETED", 2)
    assert packed.read_text().split() == ["coat"]


def test_all_calls_of_a_task_run_again_as_a_new_run(orion, packed):
    answer = orion("fr", "retry", "pack-me", *HERE, "--from", "packed", "--new-run", "--yes", "-o", "json")

    run = json.loads(answer.out)
    assert (run["state_type"], run["run_count"], run["created_by"]["type"]) == ("COMPLETED", 1, "RETRY")
    assert packed.read_text().split() == ["hat", "coat", "last"]
    assert len(orion("fr", "ls", "-o", "name").out.split()) == 2


def test_nothing_is_done_unasked(orion, packed):
    answer = orion("fr", "retry", "pack-me", *HERE, "--from", "packed-1")

    assert answer.code == 2
    assert "--yes" in answer.err
    assert not packed.exists()


@pytest.mark.parametrize("option", ["--dry-run", "--new-run"])
def test_options_that_need_a_task_are_refused_without_one(orion, packed, option):
    answer = orion("fr", "retry", "pack-me", *HERE, option)

    assert answer.code == 2
    assert "--from" in answer.err


def test_an_unknown_task_is_reported_with_the_existing_ones(orion, packed):
    answer = orion("fr", "retry", "pack-me", *HERE, "--from", "wrapped", "--yes")

    assert answer.code != 0
    assert "called no task 'wrapped'; it called 'packed'" in answer.err


def test_a_run_without_a_deployment_explains_where_to_pass_its_code(orion, packed):
    answer = orion("fr", "retry", "pack-me", "--from", "packed", "--yes")

    assert answer.code == 2
    assert "--entrypoint" in answer.err


@pytest.mark.parametrize("options", [(), ("--from", "packed-1", "--yes")])
def test_a_run_with_masked_parameters_is_not_restarted(orion, packed, tmp_path, options):
    items = tmp_path / MASK
    items.write_text("hat coat last")
    orion("run", "shop.py:packing", "-p", f"list={items}", "-p", f"log={packed}", "--name", "masked")
    packed.unlink()

    answer = orion("fr", "retry", "masked", *HERE, *options)

    assert answer.code == ExitCode.CONFLICT
    assert "masked ('list')" in answer.err
    assert not packed.exists()
    assert json.loads(orion("fr", "inspect", "masked", "-o", "json").out)["run_count"] == 1
