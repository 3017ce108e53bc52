"""Names of agents: kept over restarts, and shared by nobody."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orionflow.agent.naming import hold_name, home_id
from tests.agents.conftest import StartAgent
from tests.agents.running import Api, running_agent


@pytest.fixture
def other_home(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return folder


def test_restarted_agent_keeps_its_name(home: Path):
    first = hold_name(home, None)
    first.release()

    again = hold_name(home, None)

    assert again.name == first.name
    again.release()


def test_agents_of_different_homes_on_one_machine_have_different_names(home: Path, other_home: Path):
    held = [hold_name(folder, None) for folder in (home, other_home, home)]

    assert len({one.name for one in held}) == 3
    assert held[2].name == f"{held[0].name}-2"
    for one in held:
        one.release()


def test_given_name_is_used_unchanged(home: Path):
    held = hold_name(home, "one")

    assert held.name == "one"
    held.release()


def test_starts_at_the_same_moment_agree_on_the_id_of_their_home(home: Path):
    with ThreadPoolExecutor(8) as starts:
        ids = set(starts.map(home_id, [home] * 32))

    assert len(ids) == 1
    assert home_id(home) in ids


@pytest.mark.parametrize("left", ["", "no\nid", "../../x"])
def test_id_that_is_damaged_is_replaced(home: Path, left: str):
    (home / "agents").mkdir()
    (home / "agents" / ".home").write_text(left)

    made = home_id(home)

    assert re.fullmatch("[0-9a-f]{6}", made)
    assert home_id(home) == made


def test_agent_of_another_home_leaves_the_runs_of_the_first_alone(
    api: Api, queue: str, start_agent: StartAgent, other_home: Path
):
    first = start_agent()
    run = api.run_of("flows.py:sleeping", queue, seconds=3)
    api.until(run, "Running")

    with running_agent(other_home, api, queue):
        ended = api.until_ended(run)

    assert ended["name"] == "Completed", ended
    assert first.process.poll() is None, first.output
