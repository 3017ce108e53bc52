"""Stored results that are gone or damaged are none, and one that could not be written is written once more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.errors import MissingResult, UsageError
from orionflow.results import LocalFileSystem, read_record, write_result
from orionflow.serializers import PickleSerializer
from orionflow.testing import Isolated, assert_completed, logs_of, states_of, task_runs_of


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def halved(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def of_code_that_is_gone(file: Path) -> None:
    file.write_bytes(b"cno_such_module\nThing\n.")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [Path.unlink, emptied, halved, of_code_that_is_gone, a_folder]


def results_in(orion: Isolated) -> list[Path]:
    return [file for file in (orion.home / "results").rglob("*") if file.is_file()]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_cached_result_that_cannot_be_read_is_a_miss(orion: Isolated, damage: Callable[[Path], None], how: str):
    calls: list[int] = []

    @task(cache_key_fn=lambda *_: "key", tags=["limited"])
    def compute() -> dict[str, int]:
        calls.append(1)
        return {"calls": len(calls)}

    @flow
    def outer() -> Any:
        return compute() if how == "call" else compute.submit().result()

    assert outer() == outer() == {"calls": 1}
    [file] = results_in(orion)
    damage(file)

    state = outer(return_state=True)

    assert state.result() == {"calls": 2}
    assert outer() == {"calls": 2}, "the new result took the place of the old one"
    assert calls == [1, 1]
    run = task_runs_of(state)[0]
    assert states_of(run) == ["Pending", "Cached", "Pending", "Running", "Completed"]
    assert any(file.name in line.message for line in logs_of(state))


async def test_an_async_task_runs_again_too(orion: Isolated):
    calls: list[int] = []

    @task(cache_key_fn=lambda *_: "key")
    async def compute() -> list[int]:
        calls.append(1)
        return list(calls)

    @flow
    async def outer() -> Any:
        return await compute()

    await outer()
    results_in(orion)[0].unlink()

    assert await outer() == [1, 1]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_result_of_the_attempt_before_that_cannot_be_read_is_computed_again(
    orion: Isolated, damage: Callable[[Path], None]
):
    calls: list[str] = []

    @task
    def load(x: str) -> list[str]:
        calls.append(x)
        return [x]

    @flow
    def child() -> list[str]:
        calls.append("child")
        return ["child"]

    @flow(retries=1)
    def outer() -> list[Any]:
        values = [load("a"), child()]
        if calls == ["a", "child"]:
            for file in results_in(orion):
                damage(file)
            raise RuntimeError("the first attempt fails")
        return values

    state = outer(return_state=True)

    assert state.result() == [["a"], ["child"]]
    assert calls == ["a", "child", "a", "child"]
    assert len(task_runs_of(state)) == 2


@pytest.mark.parametrize("serializer", [None, "json", "pickle"])
def test_a_result_that_another_run_overwrote_is_not_used_by_attempts_and_caches(tmp_path: Path, serializer: str | None):
    begun: list[int] = []
    options: dict[str, Any] = {
        "result_storage": tmp_path,
        "result_storage_key": "latest",
        "result_serializer": serializer,
    }

    @task(persist_result=True, **options)
    def tens(x: int) -> int:
        return x * 10

    @task(cache_key_fn=lambda _, given: f"hundreds {given['x']}", **options)
    def hundreds(x: int) -> int:
        return x * 100

    @flow(retries=1)
    def outer() -> list[int]:
        begun.append(1)
        values = [tens(1), hundreds(1), tens(2), hundreds(2)]
        if len(begun) == 1:
            raise RuntimeError("the first attempt fails")
        return values

    assert outer() == outer() == [10, 100, 20, 200]


def test_reading_a_result_that_was_overwritten_raises_an_error(tmp_path: Path):
    @task(persist_result=True, result_storage=tmp_path, result_storage_key="latest")
    def double(x: int) -> int:
        return 2 * x

    @flow
    def outer(x: int) -> None:
        double(x)

    first, second = (task_runs_of(outer(x, return_state=True))[0].state for x in (1, 2))

    assert second.result() == 4
    with pytest.raises(MissingResult, match="latest.*written over"):
        first.result()


def test_reading_a_damaged_result_raises_an_error_that_names_it(orion: Isolated):
    reference = write_result([1], store=LocalFileSystem(), serializer=PickleSerializer())
    emptied(results_in(orion)[0])

    with pytest.raises(MissingResult, match=f"{reference['storage_key']}.*has no seal"):
        read_record(reference)


class Unreliable:
    """A store whose first writes fail."""

    where = "unreliable://store"

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.content: dict[str, bytes] = {}

    def write(self, key: str, content: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        self.content[key] = content

    def read(self, key: str) -> bytes:
        return self.content[key]

    def exists(self, key: str) -> bool:
        return key in self.content


def test_a_result_that_could_not_be_written_is_written_again_without_the_work(orion: Isolated):
    store, calls = Unreliable(2), []

    @task(retries=3, retry_delay_seconds=5, persist_result=True, result_storage=store)
    def charge(amount: int) -> dict[str, int]:
        calls.append(amount)
        return {"charged": amount}

    @flow
    def outer() -> Any:
        return charge(7)

    state = outer(return_state=True)

    assert state.result() == {"charged": 7}
    assert calls == [7]
    run = task_runs_of(state)[0]
    assert states_of(run)[-4:] == ["AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying"] or run.run_count == 3
    assert run.state.result() == {"charged": 7}


def test_the_work_fails_when_its_result_cannot_be_written_at_all():
    calls: list[int] = []

    @task(retries=2, persist_result=True, result_storage=Unreliable(99))
    def charge() -> int:
        calls.append(1)
        return 5000

    @flow
    def outer() -> Any:
        return charge(return_state=True)

    state = outer(return_state=True)

    assert state.is_failed()
    state = task_runs_of(state)[0].state
    assert "the disk is full" in state.message
    assert calls == [1]


def test_a_value_that_no_try_could_store_fails_at_once():
    calls: list[int] = []

    @task(retries=3, persist_result=True)
    def make() -> Any:
        calls.append(1)
        return iter([1])

    @flow
    def outer() -> Any:
        return make.with_options(result_serializer="json")(return_state=True)

    assert outer(return_state=True).is_failed()
    assert calls == [1]


def test_a_flow_that_is_tried_again_for_its_result_alone_does_not_work_again():
    calls: list[int] = []

    @flow(retries=2, persist_result=True, result_storage=Unreliable(1))
    def outer() -> dict[str, int]:
        calls.append(1)
        return {"n": 1}

    state = outer(return_state=True)

    assert_completed(state)
    assert state.result() == {"n": 1}
    assert calls == [1]


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("fsync"), sync(number)))
    monkeypatch.setattr(Path, "replace", lambda *args: (order.append("rename"), replace(*args))[1])

    LocalFileSystem(tmp_path).write("a/b", b"content")

    assert order == ["fsync", "rename"]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b"]


def test_a_write_that_fails_leaves_the_old_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = LocalFileSystem(tmp_path)
    store.write("key", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write("key", b"new")

    assert store.read("key") == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


def test_a_key_that_leads_out_of_its_folder_is_not_a_result(orion: Isolated):
    reference = {"type": "reference", "storage_key": "../../etc/passwd", "storage": None, "serializer_type": "json"}

    with pytest.raises((MissingResult, UsageError), match="leads out"):
        read_record(reference)
