"""A scrape shows the figures of all processes of a server, whichever of them answers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orion_site.metrics.figure_files import OLD_SECONDS, folder_of, forget
from orion_site.metrics.siblings import Siblings
from tests.conftest import DATABASE
from tests.site.running import orion, running_server

NAME = "process_resident_memory_bytes"


def processes(own: Siblings) -> set[str]:
    return {one.labels["process"] for family in own.families() for one in family.samples if one.name == NAME}


def test_each_shows_those_of_the_others(tmp_path: Path):
    first, second = Siblings("worker-1", tmp_path), Siblings("worker-2", tmp_path)

    second.publish()

    assert processes(first) == {"worker-1", "worker-2"}
    assert processes(second) == {"worker-2"}


def test_a_process_that_has_ended_is_left_out(tmp_path: Path):
    first, second = Siblings("worker-1", tmp_path), Siblings("worker-2", tmp_path)
    second.publish()
    long_ago = time.time() - OLD_SECONDS - 1

    os.utime(tmp_path / "worker-2.prom", (long_ago, long_ago))

    assert processes(first) == {"worker-1"}


def test_a_process_that_writes_no_figures_any_more_is_silent(tmp_path: Path):
    first, second = Siblings("worker-1", tmp_path), Siblings("worker-2", tmp_path)
    for one in (first, second):
        one.publish()
    assert first.silent() == second.silent() == {}
    long_ago = time.time() - OLD_SECONDS - 1

    os.utime(tmp_path / "worker-2.prom", (long_ago, long_ago))

    assert first.silent().keys() == {"worker-2"}
    # What cannot write itself does not judge the others.
    assert second.silent() == {}


def test_a_process_that_has_ended_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_HOME", str(tmp_path))
    folder = folder_of(server=7)
    folder.mkdir(parents=True)
    long_ago = time.time() - OLD_SECONDS - 1
    for name in ("worker-1", "worker-2", "worker-3"):
        Siblings(name, folder).publish()
        if name != "worker-1":
            os.utime(folder / f"{name}.prom", (long_ago, long_ago))

    forget(7, "worker-2")

    assert Siblings("worker-1", folder).silent().keys() == {"worker-3"}
    # A server with the id of an earlier one, as in a container, starts with none.
    forget(7)
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path):
    (tmp_path / "worker-2.prom").write_text("orion_odd{ 7 seven\n")

    assert processes(Siblings("worker-1", tmp_path)) == {"worker-1"}


def test_each_family_is_described_once(tmp_path: Path):
    first, second = Siblings("worker-1", tmp_path), Siblings("worker-2", tmp_path)
    second.publish()

    names = [family.name for family in first.families()]

    assert len(names) == len(set(names))


@pytest.mark.long
@pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite has one process.")
def test_workers_of_a_real_server_are_all_there(tmp_path: Path, postgresql_url: str):
    settings = {"ORION_DATABASE_URL": postgresql_url}
    assert orion(tmp_path, "database", "upgrade", **settings).returncode == 0
    with running_server(tmp_path, "--workers", "2", **settings) as server:
        time.sleep(5)
        _, _, text = server.get("/metrics")

    lines = [one for family in text_string_to_metric_families(text) for one in family.samples]
    assert {one.labels["process"] for one in lines if one.name == NAME} == {"services", "worker-1", "worker-2"}
    assert len([one for one in lines if one.name == "orion_late_flow_runs"]) == 1
