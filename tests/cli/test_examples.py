"""Every example that help shows is run, in a home where the runs it speaks of exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from orionflow.cli.command import WithExamples
from tests.cli.commands import all_commands, all_groups, words_of
from tests.cli.conftest import companion

GALLERY = Path(__file__).parent / "gallery"
EXAMPLES = [
    line
    for _, command in [*all_groups(), *all_commands()]
    if isinstance(command, WithExamples)
    for line, _ in command.examples
    if "server start" not in line
]
CODES = {
    # It fails again: what it was called with has not changed.
    "orion flow-run retry @last-failed --entrypoint flows.py:etl": 1,
    # A finished run can neither be cancelled nor resumed.
    "orion flow-run cancel brave-otter": 6,
    "orion flow-run resume brave-otter": 6,
    "orion fr resume brave-otter --input approved=true": 6,
}
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
def session(home):
    with companion(home, cwd=GALLERY) as orion:
        yield orion


@pytest.fixture
def orion(session, home):
    """Fresh profiles; a run `brave-otter` of the flow `etl` that completed, and one that failed."""
    (home / "profiles.toml").write_text(PROFILES)
    session("fr", "delete", "--query", "flow:etl", "--max", "1000", "--yes")
    session("run", "flows.py:etl", "-p", "limit=0")
    session("run", "flows.py:etl", "--name", "brave-otter", "--tag", "nightly")
    return session


@pytest.mark.parametrize("line", dict.fromkeys(EXAMPLES))
def test_the_example_does_what_it_says(orion, home, line):
    if "profile create" in line:
        (home / "profiles.toml").unlink()

    answer = orion(*words_of(line))

    assert answer.code == CODES.get(line, 0), answer.err
