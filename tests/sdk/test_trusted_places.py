"""Results are read from the folders that the program names, and not from any that somebody wrote into a state."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import MissingResult, UntrustedResult
from orionflow.results import LocalFileSystem, read_record
from orionflow.settings import override_settings
from orionflow.states import Completed, Failed
from orionflow.testing import Isolated, flow_run_of, task_runs_of


class Trap:
    """A trap that somebody leaves in a folder of theirs."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sprung),)


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """Exists once the trap was read."""
    return tmp_path / "sprung"


@pytest.fixture
def elsewhere(tmp_path: Path, sprung: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "trap").write_bytes(pickle.dumps(Trap(sprung)))
    return folder


def reference(where: Any, key: Any = "trap", serializer: Any = "pickle") -> dict[str, Any]:
    return {"type": "reference", "storage_key": key, "storage": where, "serializer_type": serializer}


def ways_to_name(folder: Path, orion: Isolated) -> list[str]:
    results = orion.home / "results"
    return [
        folder.as_uri(),
        str(folder),
        f"file://somewhere{folder}",
        f"{results.as_uri()}/../../../../../../../../..{folder}",
        f"{results}/../../../../../../../../..{folder}",
        f"{results.as_uri()}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{folder}",
        os.path.relpath(folder),
    ]


def test_a_state_cannot_have_a_pickle_read_from_where_it_likes(orion: Isolated, elsewhere: Path, sprung: Path):
    for where in ways_to_name(elsewhere, orion):
        with pytest.raises(UntrustedResult, match="ORION_RESULTS_READ_FROM"):
            Completed(data=reference(where)).result()

    assert not sprung.exists()


def test_a_failed_state_cannot_either(elsewhere: Path, sprung: Path):
    state = Failed(message="it broke", data=reference(elsewhere.as_uri()))

    with pytest.raises(Exception, match="it broke"):
        state.result()

    assert "it broke" in str(state.result(raise_on_failure=False)) or state.result(raise_on_failure=False) is None
    assert not sprung.exists()


@pytest.mark.parametrize("key", ["../elsewhere/trap", "/etc/passwd", "a\x00b", "", "."])
def test_a_key_cannot_lead_there_from_a_trusted_folder(orion: Isolated, elsewhere: Path, sprung: Path, key: str):
    with pytest.raises(MissingResult):
        read_record(reference(None, key))

    assert not sprung.exists()


@pytest.mark.parametrize(
    "record",
    [
        reference({"a": 1}),
        reference(["file:///"]),
        reference(None, 7),
        reference(None, "a", {"b": 1}),
        {"type": "reference"},
    ],
)
def test_an_invalid_reference_is_reported(record: dict[str, Any]):
    with pytest.raises(MissingResult, match="damaged"):
        read_record(record)


def test_folders_that_flows_and_tasks_name_are_read_from(tmp_path: Path):
    @task(result_storage=tmp_path / "tasks", persist_result=True)
    def one() -> list[int]:
        return [1]

    @flow(result_storage=str(tmp_path / "flows"), persist_result=True)
    def outer() -> list[int]:
        return one()

    state = outer(return_state=True)

    assert flow_run_of(state).state.result() == [1]
    assert task_runs_of(state)[0].state.result() == [1]


def test_a_program_that_only_names_a_folder_reads_what_another_stored_there(tmp_path: Path):
    record = reference(tmp_path.as_uri(), "key", "json")
    (tmp_path / "key").write_text('"theirs"')
    with pytest.raises(UntrustedResult):
        read_record(record)

    @task(result_storage=LocalFileSystem(tmp_path))
    def declared() -> None: ...

    assert read_record(record) == "theirs"


def test_further_folders_are_named_in_the_settings(orion: Isolated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "shared" / "team").mkdir(parents=True)
    (tmp_path / "shared" / "team" / "key").write_text('"theirs"')
    monkeypatch.setenv("ORION_RESULTS_READ_FROM", f"/nowhere, {tmp_path}/shared/")

    assert read_record(reference((tmp_path / "shared" / "team").as_uri(), "key", "json")) == "theirs"
    with pytest.raises(UntrustedResult):
        read_record(reference((tmp_path / "shared2").as_uri(), "key"))


def test_the_folder_of_the_settings_and_that_of_the_home_are_read_from(orion: Isolated, tmp_path: Path):
    (orion.home / "results").mkdir()
    (orion.home / "results" / "key").write_text('"of the home"')

    with override_settings(results_path=tmp_path):
        assert read_record(reference((orion.home / "results").as_uri(), "key", "json")) == "of the home"
        with pytest.raises(MissingResult, match="is gone"):
            read_record(reference(tmp_path.as_uri(), "key"))


def test_a_planted_cached_state_is_a_miss(orion: Isolated, elsewhere: Path, sprung: Path):
    @task(cache_key_fn=lambda *_: "key")
    def planted() -> Any:
        return Completed(data=reference(elsewhere.as_uri()))

    @task(cache_key_fn=lambda *_: "key")
    def honest() -> str:
        return "honest"

    @flow
    def outer() -> Any:
        planted(return_state=True)
        return honest()

    assert outer() == "honest"
    assert not sprung.exists()
