"""Secrets come from stdin and are never shown; blocks are listed, looked at and deleted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orionflow.cli.errors import CommandFailed
from orionflow.cli.secret import _value
from tests.cli.conftest import Orion, companion

SECRET = "correct horse"


@pytest.fixture
def orion(tmp_path: Path) -> Iterator[Orion]:
    with companion(tmp_path / "home") as session:
        yield session


def test_a_secret_is_stored_changed_listed_and_deleted(orion: Orion):
    created = orion("secret", "set", "github", stdin=f"{SECRET}\n")
    changed = orion("secret", "set", "github", stdin=f"{SECRET} battery")
    opened = orion("api", "GET", "/block_types/slug/secret/block_documents/name/github?include_secrets=true")
    listed = orion("secret", "ls"), orion("secret", "ls", "-o", "json"), orion("block", "inspect", "secret/github")
    planned = orion("secret", "delete", "github", "--dry-run")
    gone, missing = orion("secret", "delete", "github", "--yes"), orion("secret", "rm", "github", "--yes")

    assert created.code == 0
    assert created.err.endswith("Secret github created.\n")
    assert (changed.code, changed.err) == (0, "Secret github changed.\n")
    assert json.loads(opened.out)["data"] == {"value": f"{SECRET} battery"}
    assert all(answer.code == 0 and "github" in answer.out for answer in listed)
    assert not any(SECRET in answer.out + answer.err for answer in (created, changed, *listed, gone))
    assert (planned.code, planned.err) == (0, "Would delete the block secret/github.\n")
    assert (gone.code, missing.code) == (0, 5)


def test_nothing_on_stdin_changes_nothing(orion: Orion):
    orion("secret", "set", "github", stdin=SECRET)

    empty = orion("secret", "set", "github")
    in_argv = orion("secret", "set", "gitlab", SECRET)

    assert (empty.code, in_argv.code) == (2, 2)
    assert "No value came on stdin" in empty.err
    assert json.loads(orion("secret", "ls", "-o", "json").out)[0]["name"] == "github"


def test_blocks_are_listed_by_type_and_named_when_they_are_near(orion: Orion):
    orion("secret", "set", "github", stdin=SECRET)

    listed = json.loads(orion("block", "ls", "--type", "secret", "-o", "json").out)
    none = orion("block", "ls", "--type", "json")
    near, half = orion("block", "inspect", "secret/githib"), orion("block", "delete", "github")
    types = orion("block", "type", "ls", "-o", "name").out.split()

    assert [one["name"] for one in listed] == ["github"]
    assert (none.code, none.err) == (0, "No blocks.\n")
    assert (near.code, "secret/github" in near.err) == (5, True)
    assert (half.code, "TYPE/NAME" in half.err) == (2, True)
    assert "secret" in types


def test_a_value_may_have_several_lines(monkeypatch: pytest.MonkeyPatch):
    from io import StringIO

    monkeypatch.setattr(sys, "stdin", StringIO("one\ntwo\n\n"))
    assert _value("key") == "one\ntwo\n"

    monkeypatch.setattr(sys, "stdin", StringIO("\n"))
    with pytest.raises(CommandFailed):
        _value("key")
