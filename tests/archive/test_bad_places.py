"""The archive in hands that are not careful: who may read its files, and files that are missing, torn or forged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client

from deployments.archive import place as places
from deployments.archive.selectors import Wanted, archived_run, archived_runs
from deployments.archive.services import archive_runs, write
from orchestration.services import propose_flow_run_state
from orion_site import archive_commands
from runs.models import FlowRun, Log
from tests.factories import NOON, make_flow_run, make_log, make_state

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
OLD = NOON - 20 * DAY


@pytest.fixture(params=["archive", "archive [old] {a} *?"])
def archive(request: pytest.FixtureRequest, settings, tmp_path: Path) -> Path:
    settings.ORION_ARCHIVE_PATH = str(tmp_path / request.param)
    places._places.clear()
    return tmp_path / request.param


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def ended(line: str = "a line", **fields: str) -> FlowRun:
    run = make_flow_run("RUNNING", now=OLD, **fields)
    make_log(line, flow_run=run, now=OLD)
    propose_flow_run_state(run_id=run.pk, proposed=make_state("COMPLETED"), now=OLD)
    return run


@pytest.fixture
def run(archive: Path) -> FlowRun:
    """A run in the archive, and no longer in the database."""
    run = ended()
    archive_runs(older_than=14 * DAY, now=NOON)
    return run


@pytest.mark.parametrize("archive", ["archive"], indirect=True)
@pytest.mark.parametrize("was_there", [False, True])
def test_only_its_owner_may_read_the_archive(usual_umask: None, archive: Path, was_there: bool):
    if was_there:
        archive.mkdir()
    ended()
    archive_runs(older_than=14 * DAY, now=NOON)

    folders = {file.parent for file in archive.rglob("*") if file.is_file()}
    assert len(folders) == 1
    assert [str(one) for one in folders if one.stat().st_mode & 0o077] == []


def test_a_path_with_characters_of_patterns_is_read_as_it_is(run: FlowRun):
    assert [one.id for one in archived_runs(Wanted(), limit=5)] == [run.pk]
    found = archived_run(run.pk)
    assert found is not None
    assert found.log_count == 1


def file_of(archive: Path, name: str) -> Path:
    return next(archive.rglob(name))


def missing(archive: Path) -> None:
    file_of(archive, "flow_runs.parquet").unlink()


def torn(archive: Path) -> None:
    file = file_of(archive, "flow_runs.parquet")
    file.write_bytes(file.read_bytes()[:-40])


def of_other_columns(archive: Path) -> None:
    file_of(archive, "logs.parquet").replace(file_of(archive, "flow_runs.parquet"))


def forged(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def forge(archive: Path) -> None:
        file = file_of(archive, "manifest.json")
        manifest = json.loads(file.read_text())
        change(manifest)
        file.write_text(json.dumps(manifest))
        places._places.clear()

    return forge


def nested(archive: Path) -> None:
    file_of(archive, "manifest.json").write_text("[" * 200_000)
    places._places.clear()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": missing,
    "torn": torn,
    "of other columns": of_other_columns,
    "a list for files": forged(lambda manifest: manifest.update(files=[])),
    "no file of runs": forged(lambda manifest: manifest["files"].pop("flow_runs")),
    "a file elsewhere": forged(lambda manifest: manifest["files"]["flow_runs"].update(name="../../secret.parquet")),
    "a pattern for a file": forged(lambda manifest: manifest["files"]["flow_runs"].update(name="*.parquet")),
    "a number for a name": forged(lambda manifest: manifest["files"]["flow_runs"].update(name=5)),
    "a text for a number": forged(lambda manifest: manifest["files"]["flow_runs"].update(rows="many")),
    "a moment without a zone": forged(lambda manifest: manifest.update(since="2026-01-01T00:00:00")),
    "a moment that is none": forged(lambda manifest: manifest.update(since=7)),
    "a list": lambda archive: (file_of(archive, "manifest.json").write_text("[]"), places._places.clear())[1],
    "nested": nested,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("archive", ["archive"], indirect=True)
def test_pages_explain_the_fault_of_a_damaged_archive(damage: Callable[[Path], None], run: FlowRun, archive: Path):
    damage(archive)
    browser = Client(headers={"host": "127.0.0.1:4200"}, raise_request_exception=False)

    answer = browser.get("/archive")
    assert answer.status_code == 503
    assert "of the archive cannot be read" in answer.content.decode() or "The manifest of" in answer.content.decode()
    # Where other rows are, the run is not.
    assert browser.get(f"/archive/{run.pk}").status_code in (404, 503)


@pytest.mark.parametrize("archive", ["archive"], indirect=True)
def test_texts_of_runs_do_not_control_the_terminal(archive: Path, capsys: pytest.CaptureFixture[str]):
    run = ended(name="a\x1b]0;b\x07", line="\x1b[2J gone\nOK\x9b")
    archive_runs(older_than=14 * DAY, now=NOON)
    found = archived_run(run.pk)
    assert found is not None

    archive_commands._print_run(found)

    shown = capsys.readouterr().out
    assert "\\x1b[2J gone" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


@pytest.mark.parametrize(
    "address", ["ftp://archivist:hunter22@127.0.0.1:9/runs", "vault://archivist:hunter22@host/runs"]
)
def test_the_password_in_an_address_is_not_shown(settings, address: str):
    settings.ORION_ARCHIVE_PATH = address
    places._places.clear()

    answer = Client(headers={"host": "127.0.0.1:4200"}).get("/archive")

    assert answer.status_code == 503
    assert "The archive " in answer.content.decode()
    assert "hunter22" not in answer.content.decode()


@pytest.mark.parametrize("archive", ["archive"], indirect=True)
def test_a_forged_batch_deletes_no_run_that_is_not_old(archive: Path):
    going, young = make_flow_run("RUNNING", now=OLD), make_flow_run("RUNNING", now=NOON - DAY)
    propose_flow_run_state(run_id=young.pk, proposed=make_state("COMPLETED"), now=NOON - DAY)
    for run in (going, young):
        make_log("a line", flow_run=run, now=NOON - DAY)
        write(places.place(), [run.pk], now=NOON - DAY)
    ended()

    archive_runs(older_than=14 * DAY, now=NOON)

    assert {one.pk for one in FlowRun.objects.all()} == {going.pk, young.pk}
    assert Log.objects.filter(flow_run_id__in=[going.pk, young.pk]).count() == 2
