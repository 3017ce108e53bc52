"""Values of runs are stored where somebody will need them, and found again from another process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import MissingResult, UnserializableError, UsageError
from orionflow.results import LocalFileSystem, read_record, write_result
from orionflow.serializers import CompressedSerializer, JSONSerializer, PickleSerializer, serializer_of
from orionflow.states import State
from orionflow.testing import Isolated, assert_failed, flow_run_of, task_runs_of


def recorded(state: State[Any]) -> State[Any]:
    """The state as another process reads it."""
    found = flow_run_of(state).state
    assert found is not None
    return found


def test_stored_result_is_read_from_the_recorded_state(orion: Isolated):
    @flow(persist_result=True)
    def outer() -> Any:
        return {"rows": 3}

    state = outer(return_state=True)

    assert recorded(state).result() == {"rows": 3}
    assert recorded(state).data["type"] == "reference"
    assert list((orion.home / "results").iterdir())


def test_results_are_stored_under_the_ids_of_their_runs(orion: Isolated):
    @task(persist_result=True)
    def work() -> tuple[int, ...]:
        return (1,)

    @flow(persist_result=True)
    def outer() -> Any:
        return work(), work.submit().result()

    state = outer(return_state=True)

    runs = [state.state_details.flow_run_id, *(run.id for run in task_runs_of(state))]
    stored = [path.name[:32] for path in LocalFileSystem().basepath.iterdir()]
    assert sorted(stored) == sorted(run.hex for run in runs)


def test_result_that_was_not_stored_is_reported():
    @flow
    def outer() -> Any:
        return {"rows": 3}

    state = outer(return_state=True)

    assert state.result() == {"rows": 3}
    with pytest.raises(MissingResult, match="persist_result=True"):
        recorded(state).result()


@pytest.mark.parametrize("value", [None, True, False])
def test_smallest_values_need_no_file(orion: Isolated, value: Any):
    @task(persist_result=True)
    def small() -> Any:
        return value

    @flow
    def outer() -> Any:
        small()
        return 1

    run = task_runs_of(outer(return_state=True))[0]

    assert run.state.data == {"type": "literal", "value": value}
    assert run.state.result() is value
    assert not (orion.home / "results").exists()


@pytest.mark.parametrize("serializer", ["json", "pickle", "compressed/json", "compressed/pickle", JSONSerializer()])
def test_serializers_read_what_they_wrote(serializer: Any):
    @task(persist_result=True, result_serializer=serializer)
    def make() -> Any:
        return {"rows": [1, 2, 3]}

    @flow
    def outer() -> Any:
        make()
        return 1

    assert task_runs_of(outer(return_state=True))[0].state.result() == {"rows": [1, 2, 3]}


def test_results_go_to_the_folder_and_key_that_are_named(tmp_path: Path):
    @task(
        result_storage=tmp_path, result_storage_key="{parameters[day]}/{flow_run.name}.json", result_serializer="json"
    )
    def load(day: str) -> Any:
        return [day]

    @flow(flow_run_name="nightly")
    def outer() -> Any:
        return load("monday")

    outer()

    assert (tmp_path / "monday" / "nightly.json").read_text() == '["monday"]'


@pytest.mark.parametrize("day", ["mon\0day", "mon\ud800day"], ids=ascii)
@pytest.mark.parametrize("persist", [True, None])
def test_a_key_that_no_file_can_have_is_cleaned(tmp_path: Path, day: str, persist: bool | None):
    @task(persist_result=persist, result_storage=tmp_path, result_storage_key="{parameters[day]}.json")
    def load(day: str) -> int:
        return len(day)

    @flow
    def outer() -> Any:
        return load(day, return_state=True)

    state = outer(return_state=True)

    assert state.is_completed()
    assert [file.name.startswith("mon") for file in tmp_path.iterdir()] == [True]
    assert task_runs_of(state)[0].state.result() == len(day)


def test_keys_that_no_file_can_have_do_not_become_one(tmp_path: Path):
    days = ["mon\0day", "mon\ud800day", "mon\ud801day", "mon\ufffdday", "mon?day"]

    @task(persist_result=True, result_storage=tmp_path, result_storage_key="{parameters[day]}")
    def load(day: str) -> list[int]:
        return [ord(sign) for sign in day]

    @flow
    def outer() -> Any:
        return [load(day, return_state=True) for day in [*days, *days]]

    states = outer()

    assert len(list(tmp_path.iterdir())) == len(days)
    assert [run.state.result() for run in task_runs_of(outer(return_state=True))] == [
        [*map(ord, day)] for day in days
    ] * 2
    assert all(state.is_completed() for state in states)


def test_tasks_store_results_in_the_storage_of_their_flow(tmp_path: Path):
    @task(persist_result=True)
    def load() -> Any:
        return [1]

    @flow(result_storage=str(tmp_path), result_serializer="json")
    def outer() -> Any:
        load()
        return 1

    outer()

    assert [file.read_text() for file in tmp_path.iterdir()] == ["[1]"]


def test_results_need_not_stay_in_memory():
    @task(cache_result_in_memory=False)
    def load() -> Any:
        return {"rows": 1}

    @flow
    def outer() -> Any:
        state = load(return_state=True)
        return repr(state.value), state.result()

    assert outer() == ("UNSET", {"rows": 1})


def test_failed_storage_fails_only_who_asked_for_it():
    @task
    def unstorable() -> Any:
        return threading.Lock()

    @flow
    def outer(**options: Any) -> Any:
        return unstorable.with_options(**options)(return_state=True)

    @flow(persist_result=True)
    def stored_flow() -> Any:
        return threading.Lock()

    assert outer(result_storage_key="here").name == "Completed"
    assert outer(persist_result=True, wait_for=None, return_state=True).is_failed()
    assert_failed(stored_flow(return_state=True), "could not be stored")


def test_missing_result_file_is_reported(orion: Isolated):
    store = LocalFileSystem()
    reference = write_result([1], store=store, serializer=PickleSerializer())
    (orion.home / "results" / reference["storage_key"]).unlink()

    with pytest.raises(MissingResult, match="refresh_cache"):
        read_record(reference)


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", ".", "a/../../b"])
def test_keys_cannot_leave_the_folder(tmp_path: Path, key: str):
    with pytest.raises(UsageError, match="leads out of"):
        LocalFileSystem(tmp_path / "results").write(key, b"")


def test_custom_store():
    class Memory:
        where = "memory://test"
        content: dict[str, bytes] = {}

        def write(self, key: str, content: bytes) -> None:
            self.content[key] = content

        def read(self, key: str) -> bytes:
            return self.content[key]

        def exists(self, key: str) -> bool:
            return key in self.content

    @flow(persist_result=True, result_storage=Memory())
    def outer() -> Any:
        return "kept in memory"

    assert recorded(outer(return_state=True)).result() == "kept in memory"


def test_values_that_cannot_be_serialized_are_reported_in_one_sentence():
    with pytest.raises(UnserializableError, match="lock cannot be pickled"):
        PickleSerializer().dumps(threading.Lock())
    with pytest.raises(UnserializableError, match="result_serializer='pickle'"):
        JSONSerializer().dumps(object())
    with pytest.raises(UsageError, match="no result serializer 'yaml'"):
        serializer_of("yaml")


def test_compressed_bytes_are_fewer():
    plain, small = PickleSerializer(), CompressedSerializer("pickle")

    assert len(small.dumps([0] * 10_000)) < len(plain.dumps([0] * 10_000)) / 10
    assert small.loads(small.dumps([0] * 10)) == [0] * 10
    assert small.type == "compressed/pickle"


def test_storing_as_json_leaves_iterators_to_the_caller():
    @task(persist_result=True, result_serializer="json")
    def parts() -> dict[str, Any]:
        return {"parts": iter([1, 2])}

    @task(cache_key_fn=lambda *_: "parts", result_serializer="json")
    def cached_parts() -> dict[str, Any]:
        return {"parts": iter([1, 2])}

    @flow
    def reads() -> list[int]:
        assert parts(return_state=True).is_failed()
        return list(cached_parts()["parts"])

    assert reads() == [1, 2]
