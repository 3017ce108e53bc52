"""`orion result`: what is stored where, printing one without running code, purging, and named locations."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orionflow.contract.seals import without_seal
from tests.cli.conftest import Orion, companion

PROGRAM = """
from datetime import timedelta
from pathlib import Path

from orionflow import flow, task


class Trap:
    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        import os
        return os.mkdir, (self.sprung,)


@task(persist_result=True, result_storage_key="{parameters[x]}.json")
def plain(x: int):
    return {"x": x}


@task(persist_result=True, result_storage_key="pair")
def pair():
    return (1, 2)


@flow(name="kept", persist_result=True, result_expiration=timedelta(days=1))
def kept():
    plain(1)
    pair()
    return [1, 2, 3]


@flow(name="old", persist_result=True, result_expiration=timedelta(microseconds=1))
def old():
    return [1, 2, 3]


@task(persist_result=True, result_storage_key="latest.json")
def latest(x: int):
    return {"x": x}


@flow(name="brief", result_expiration=timedelta(microseconds=1))
def brief():
    latest(1)


@flow(name="lasting")
def lasting():
    latest(2)


@flow(name="trap", persist_result=True)
def trap(sprung: str):
    return Trap(sprung)


@flow(name="unstored")
def unstored():
    return [1]
"""


@pytest.fixture
def orion(tmp_path: Path) -> Iterator[Orion]:
    (tmp_path / "stored.py").write_text(PROGRAM)
    with companion(tmp_path / "home", cwd=tmp_path) as session:
        yield session


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "home" / "results"


def listed(orion: Orion, *words: str) -> list[dict[str, Any]]:
    answer = orion("result", "ls", *words, "-o", "json")
    assert answer.code == 0, answer.err
    found: list[dict[str, Any]] = json.loads(answer.out)
    return found


def test_results_are_listed_with_size_format_expiry_and_existence(orion: Orion, results: Path):
    orion("run", "stored.py:kept", "--name", "nightly")
    (results / "pair").unlink()

    rows = {one["storage_key"]: one for one in listed(orion, "--run", "nightly")}
    table = orion("result", "ls", "--flow", "kept").out

    assert (rows["1.json"]["serializer_type"], rows["1.json"]["size"], rows["1.json"]["there"]) == ("json", 7, True)
    assert (rows["pair"]["serializer_type"], rows["pair"]["there"]) == ("pickle", False)
    assert all(one["expiration"] for one in rows.values())
    assert "nightly" in table
    assert "7 B" in table
    assert len(listed(orion, "--location", str(results))) == 3
    assert listed(orion, "--location", "lake") == listed(orion, "--expired") == []
    assert orion("result", "ls", "--run", "nightly", "--flow", "kept").code == 2


def test_get_prints_json_and_opens_pickles_on_request_only(orion: Orion, tmp_path: Path):
    orion("run", "stored.py:kept", "--name", "nightly")

    own, task = orion("result", "get", "nightly"), orion("result", "get", "nightly/plain-0")
    refused, opened = orion("result", "get", "nightly/pair-0"), orion("result", "get", "nightly/pair-0", "--unpickle")
    written = orion("result", "get", "nightly/pair-0", "--out", "pair.bin")

    assert (json.loads(own.out), json.loads(task.out)) == ([1, 2, 3], {"x": 1})
    assert refused.code == 2
    assert "--unpickle" in refused.err
    assert json.loads(opened.out) == [1, 2]
    assert written.code == 0
    assert pickle.loads((tmp_path / "pair.bin").read_bytes()) == (1, 2)  # noqa: S301 (written above)


def test_a_trap_is_not_sprung_by_looking_at_it(orion: Orion, tmp_path: Path, results: Path):
    sprung = tmp_path / "sprung"
    orion("run", "stored.py:trap", "--name", "hostile", "-p", f"sprung={sprung}")
    [file] = results.iterdir()

    for words in (
        ["ls"],
        ["get", "hostile"],
        ["get", "hostile", "--out", "x"],
        ["purge", "--dry-run"],
        ["seal", "--dry-run"],
    ):
        orion("result", *words)
    assert not sprung.exists()

    file.write_bytes(file.read_bytes()[47:])
    stripped = orion("result", "get", "hostile", "--unpickle")
    also = orion("result", "get", "hostile", "--out", "x2")

    assert (stripped.code, also.code) == (1, 1)
    assert "has no seal" in stripped.err
    assert not sprung.exists()
    assert not (tmp_path / "x2").exists()


def test_a_run_without_a_stored_result_is_reported(orion: Orion):
    orion("run", "stored.py:unstored", "--name", "plain")

    answer = orion("result", "get", "plain")

    assert answer.code == 5
    assert "persist_result=True" in answer.err


def test_purge_deletes_expired_results_only(orion: Orion, results: Path):
    orion("run", "stored.py:kept")
    before = set(results.iterdir())
    orion("run", "stored.py:old")

    planned = orion("result", "purge", "--dry-run")
    refused = orion("result", "purge")
    done = orion("result", "purge", "--yes")
    again = orion("result", "purge", "--yes", "-o", "json")

    assert "Would delete 1 result (7 B)" in planned.err
    assert refused.code == 2
    assert "Deleted 1 result" in done.err
    assert json.loads(again.out) == []
    assert set(results.iterdir()) == before


def test_purge_leaves_what_another_run_has_stored_in_the_same_place_since(orion: Orion, results: Path):
    orion("run", "stored.py:brief")
    orion("run", "stored.py:lasting", "--name", "newest")

    kept = orion("result", "purge", "--yes")
    latest = orion("result", "get", "newest/latest-0")
    orion("fr", "delete", "newest", "--yes")
    orion("result", "purge", "--yes")

    assert "No result that this machine sees has expired" in kept.out + kept.err
    assert json.loads(latest.out) == {"x": 2}
    assert not (results / "latest.json").exists()


def test_purge_of_orphans_deletes_results_of_deleted_runs_only(orion: Orion, results: Path):
    orion("run", "stored.py:kept", "--name", "kept")
    orion("run", "stored.py:kept", "--name", "gone")
    left = {one["storage_key"] for one in listed(orion, "--run", "gone")} - {"pair", "1.json"}
    orion("fr", "delete", "gone", "--yes")
    (results / "somebody's.txt").write_text("not ours")
    young = orion("result", "purge", "--orphans", "--yes")
    for file in results.iterdir():
        os.utime(file, (0, 0))
    before = {file.name for file in results.iterdir()}

    planned = orion("result", "purge", "--orphans", "--dry-run")
    done = orion("result", "purge", "--orphans", "--yes")

    assert "has its run" in young.err
    assert "Would delete 1 result" in planned.err
    assert "Deleted 1 result" in done.err
    assert before - {file.name for file in results.iterdir()} == left
    assert json.loads(orion("result", "get", "kept").out) == [1, 2, 3]


def test_purge_of_orphans_spares_results_of_archived_runs_by_default(orion: Orion, results: Path):
    orion("run", "stored.py:kept", "--name", "gone")
    orion("fr", "delete", "gone", "--yes")
    for file in results.iterdir():
        os.utime(file, (0, 0))
    before = {file.name for file in results.iterdir()}
    archive = {"ORION_ARCHIVE_PATH": str(results.parent / "archive")}

    with companion(results.parent, results.parent.parent, **archive) as archiving:
        refused = archiving("result", "purge", "--orphans", "--yes")
        after = {file.name for file in results.iterdir()}
        found = archiving("result", "purge", "--orphans", "--and-archived", "--yes")

    assert refused.code == 2
    assert "This server moves runs to an archive, and does not list their results." in refused.err
    assert after == before
    assert "Deleted 1 result" in found.err


def test_pickles_of_before_are_sealed_after_a_question(orion: Orion, results: Path):
    orion("run", "stored.py:kept", "--name", "nightly")
    file = results / "pair"
    file.write_bytes(without_seal(file.read_bytes()))

    planned, refused = orion("result", "seal", "--dry-run"), orion("result", "seal")
    assert orion("result", "get", "nightly/pair-0", "--unpickle").code == 1
    sealed = orion("result", "seal", "--yes")

    assert "Would seal 1" in planned.err
    assert refused.code == 2
    assert "Sealed 1" in sealed.err
    assert json.loads(orion("result", "get", "nightly/pair-0", "--unpickle").out) == [1, 2]
    assert orion("result", "seal", "nowhere").code == 5


def test_locations_are_added_checked_listed_and_forgotten(orion: Orion, tmp_path: Path):
    lake = tmp_path / "lake"
    added = orion("result", "location", "add", "lake", str(lake), "key=hush")
    twice = orion("result", "location", "add", "lake", str(lake))
    listed = orion("result", "location", "ls", "-o", "json", ORION_RESULTS_LOCATIONS=f"team={tmp_path}/team")
    checked = orion("result", "location", "check", "lake", "-o", "json")
    near = orion("result", "location", "check", "lak")

    assert (added.code, twice.code) == (0, 6)
    assert json.loads(listed.out) == [
        {"name": "lake", "url": str(lake), "options": ["key"], "origin": "the server"},
        {"name": "team", "url": f"{tmp_path}/team", "options": [], "origin": "ORION_RESULTS_LOCATIONS"},
    ]
    assert json.loads(checked.out)["ok"]
    assert list(lake.iterdir()) == []
    assert near.code == 5
    assert "lake" in near.err
    assert not any("hush" in answer.out + answer.err for answer in (added, listed, checked))
    assert orion("result", "location", "rm", "lake", "--dry-run").code == 0
    assert orion("result", "location", "rm", "lake", "--yes").code == 0
    assert orion("result", "location", "rm", "lake", "--yes").code == 5


def test_a_failing_location_is_reported_with_the_cause(orion: Orion):
    orion("result", "location", "add", "nowhere", "/proc/orion-results")
    orion("result", "location", "add", "bucket", "s3://bucket/x")

    folder, bucket = orion("result", "location", "check", "nowhere"), orion("result", "location", "check", "bucket")

    assert (folder.code, bucket.code) == (1, 1)
    assert "FileNotFoundError" in folder.err
    assert "pip install" in bucket.err or "bucket" in bucket.err


@pytest.mark.parametrize("url", ["relative", "jupyter://x", "a::s3://b", ""])
def test_an_invalid_location_is_not_stored(orion: Orion, url: str):
    assert orion("result", "location", "add", "lake", url).code == 2
    assert json.loads(orion("result", "location", "ls", "-o", "json").out) == []
