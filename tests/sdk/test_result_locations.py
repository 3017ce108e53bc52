"""Named locations: where a name leads is said by settings and blocks, never by a state."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orionflow import flow, task
from orionflow.calls.blocks import create_block
from orionflow.calls.flow_runs import set_flow_run_state
from orionflow.cli.backend import Backend
from orionflow.cli.block_making import newest_schema
from orionflow.client import OrionClient
from orionflow.contract.blocks import BlockSchema
from orionflow.errors import MissingResult, SettingsError, UntrustedResult, UsageError
from orionflow.results import read_record, store_of, write_result
from orionflow.results.locations import BLOCK_TYPE, LocatedStore, location_of_block
from orionflow.settings import current_settings, override_settings
from orionflow.settings.locations import Location, read_locations
from orionflow.states import State, StateType
from orionflow.testing import Isolated, assert_completed, flow_run_of, logs_of, task_runs_of
from tests import warm

fsspec = pytest.importorskip("fsspec")
memory = pytest.importorskip("fsspec.implementations.memory")


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> str:
    """A location in memory, of its own for each test."""
    name = f"lake-{uuid4().hex[:8]}"
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", f"{name}=memory://{name}/results")
    return name


def block(name: str, **content: Any) -> None:
    """The location as `orion result location add` makes it."""
    schema = BlockSchema.model_validate(newest_schema(Backend(), BLOCK_TYPE))
    with OrionClient() as client:
        client.send(create_block(name, schema, content))


# --- how they are spelt ----------------------------------------------------------------------------------------------


def test_settings_name_locations_as_a_list_or_as_json():
    assert read_locations("lake=s3://b/p, team = /data/team") == (
        Location("lake", "s3://b/p"),
        Location("team", "/data/team"),
    )
    given = json.dumps({"lake": "s3://b/p", "minio": {"url": "s3://b", "key": "k"}})
    assert read_locations(given) == (Location("lake", "s3://b/p"), Location("minio", "s3://b", {"key": "k"}))


def test_a_project_names_locations_in_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "orion.toml").write_text(
        '[results]\nstorage = "team"\n[results.locations]\nteam = "/data/team"\n'
        '[results.locations.lake]\nurl = "s3://b"\nendpoint_url = "http://minio:9000"\n'
    )
    monkeypatch.chdir(tmp_path)

    assert current_settings().results_storage == "team"
    assert current_settings().results_locations == (
        Location("team", "/data/team"),
        Location("lake", "s3://b", {"endpoint_url": "http://minio:9000"}),
    )


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        ("lake", "not a list"),
        ("Lake=/data", "lower-case"),
        ("../x=/data", "lower-case"),
        ("lake=", "no folder or address"),
        ("lake=relative", "depends on where"),
        ("lake=simplecache::s3://b", "::"),
        ("{nonsense", "not valid JSON"),
        ('{"lake": 7}', "no folder or address"),
        ('{"lake": {"key": "hush"}}', "no folder or address"),
    ],
)
def test_an_invalid_location_is_refused_with_what_is_wrong(monkeypatch: pytest.MonkeyPatch, expected: str, why: str):
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", expected)

    with pytest.raises(SettingsError, match=why) as refused:
        current_settings()

    assert "hush" not in str(refused.value)


# --- storing and reading ---------------------------------------------------------------------------------------------


def test_tasks_flows_and_settings_choose_a_location(lake: str):
    @task(persist_result=True, result_storage=lake, result_storage_key="{parameters[x]}.json")
    def one(x: int) -> Any:
        return {"x": x}

    @flow(persist_result=True)
    def outer() -> Any:
        return (one(1),)

    with override_settings(results_storage=lake):
        state = outer(return_state=True)

    run = flow_run_of(state).state
    assert run.data["storage"] == f"location:{lake}"
    assert run.result() == ({"x": 1},)
    of_task = task_runs_of(state)[0].state
    assert (of_task.data["storage"], of_task.data["size"]) == (f"location:{lake}", 7)
    assert of_task.result() == {"x": 1}
    assert fsspec.filesystem("memory").cat_file(f"/{lake}/results/1.json") == b'{"x":1}'


def test_a_location_is_a_folder_that_another_machine_mounts_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", f"team={tmp_path}/here")
    record = write_result((1, 2), store=store_of("team"))
    (tmp_path / "here").rename(tmp_path / "there")

    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", f"team=file://{tmp_path}/there")

    assert read_record(record) == (1, 2)


def test_a_block_on_the_server_is_a_location(orion: Isolated):
    block("pool", url="memory://pool/x", options={"listings_expiry_time": 1})

    @flow(persist_result=True, result_storage="pool")
    def outer() -> Any:
        return [1]

    state = outer(return_state=True)

    assert flow_run_of(state).state.data["storage"] == "location:pool"
    assert flow_run_of(state).state.result() == [1]
    assert fsspec.filesystem("memory").exists("/pool/x")


def test_async_flows_use_locations_of_the_server(orion: Isolated):
    block("pond", url="memory://pond")

    @task(persist_result=True, result_storage="pond")
    async def one() -> Any:
        return (1,)

    @flow
    async def outer() -> Any:
        return await one()

    async def main() -> Any:
        return await outer(return_state=True)  # type: ignore[misc]

    state = asyncio.run(main())

    assert task_runs_of(state)[0].state.result() == (1,)


def test_an_unknown_location_explains_how_to_register_it():
    @task(result_storage="nowhere", result_storage_key="x")
    def one() -> Any:
        return [1]

    @flow
    def outer() -> Any:
        return one(return_state=True)

    state = task_runs_of(outer(return_state=True))[0].state

    assert state.is_completed()
    assert "orion result location add nowhere" in state.message
    for elsewhere in ("s3://bucket/x", "s3/prod", "local-file-system/results"):
        with pytest.raises(UsageError, match="location add"):
            store_of(elsewhere)


@pytest.mark.parametrize("wrong", [{"result_storage": "nowhere"}, {"result_serializer": "nothing"}], ids=str)
def test_a_flow_whose_result_has_no_place_ends_as_a_task_does(wrong: dict[str, Any]):
    @flow(persist_result=True, **wrong)
    def asks_for_it() -> Any:
        return [1]

    @flow(**wrong)
    def does_not() -> Any:
        return [1]

    @flow(retries=1)
    def outer() -> Any:
        return asks_for_it(return_state=True), does_not(return_state=True)

    failed, completed = outer(return_state=True).result(raise_on_failure=False)

    assert (failed.name, completed.name) == ("Failed", "Completed")
    assert failed.message.startswith("The result could not be stored: There is no ")
    assert completed.message.startswith("The result was not stored: There is no ")
    assert completed.result() == [1]


def test_keys_cannot_leave_a_location(lake: str):
    store = store_of(lake)

    for key in ("../outside", "/etc/passwd", "a/../../b", "."):
        with pytest.raises(UsageError, match="leads out"):
            store.write(key, b"x")


def test_a_result_that_was_deleted_from_a_location_is_missing(lake: str):
    record = write_result([1], store=store_of(lake))
    fsspec.filesystem("memory").rm(f"/{lake}", recursive=True)

    with pytest.raises(MissingResult, match="gone"):
        read_record(record)


# --- whoever can write to the API ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "location:",
        "location:nobody",
        "location:../lake",
        "location:lake/../../x",
        "location:Lake",
        "location:lake\n",
        "location:a\x00b",
        "memory://lake/results",
        "s3://bucket/x",
        "http://127.0.0.1:1/x",
        "simplecache::memory://x",
        "LOCATION:lake",
        "file://host/../../etc",
    ],
)
def test_a_state_cannot_name_another_store(orion: Isolated, where: str):
    with pytest.raises(UntrustedResult):
        read_record({"type": "reference", "storage": where, "storage_key": "x", "serializer_type": "json"})


@pytest.mark.parametrize("url", ["jupyter://x", "http://169.254.169.254/", "reference://x", "ftp://x", "github://x"])
def test_blocks_may_not_name_every_kind_of_store(url: str):
    with pytest.raises(UsageError, match="only ORION_RESULTS_LOCATIONS"):
        location_of_block("lake", {"url": url})


@pytest.mark.parametrize("content", [{}, {"url": 7}, {"url": ""}, {"url": "a"}, {"url": "s3://x", "options": "no"}])
def test_a_block_that_is_not_a_location_is_refused(content: dict[str, Any]):
    with pytest.raises(UsageError, match="block result-location/lake"):
        location_of_block("lake", content)


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_url": "http://evil/{{ $ORION_RESULTS_KEY }}"},
        {"endpoint_url": "http://evil/", "key": "{{orion.secrets.github}}"},
        {"client_kwargs": {"deep": ["{{ $HOME }}"]}},
        {"{{ $HOME }}": 1},
    ],
)
def test_a_block_cannot_have_machines_send_their_secrets(options: dict[str, Any]):
    with pytest.raises(UsageError, match="only ORION_RESULTS_LOCATIONS may"):
        location_of_block("lake", {"url": "s3://x", "options": options})


def test_options_of_the_settings_may_refer_to_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUR_BASE", "ours")
    given = {"lake": {"url": "memory://filled", "our_option": "{{ $OUR_BASE }}"}}
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", json.dumps(given))
    store = store_of("lake")
    assert isinstance(store, LocatedStore)

    store.write("x", b"1")

    assert store.inner._opened[0].storage_options == {"our_option": "ours"}  # type: ignore[attr-defined]


def test_a_pickle_does_not_move_between_locations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", f"mine={tmp_path}/mine, theirs={tmp_path}/theirs")
    record = write_result((1,), store=store_of("mine"))
    (tmp_path / "mine").rename(tmp_path / "theirs")

    with pytest.raises(UntrustedResult, match="moved"):
        read_record({**record, "storage": "location:theirs"})


# --- stores that fail ------------------------------------------------------------------------------------------------


class Hanging(memory.MemoryFileSystem):  # type: ignore[misc, name-defined]
    """Answers only when it is let go."""

    protocol = "hanging"
    cachable = False
    let_go = threading.Event()
    asked = 0

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        type(self).asked += 1
        self.let_go.wait()
        super().pipe_file(path, value, **options)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"stuck-{uuid4().hex[:8]}"
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    Hanging.let_go.clear()
    Hanging.asked = 0
    monkeypatch.setenv("ORION_RESULTS_LOCATIONS", f"{name}=hanging://{name}")
    monkeypatch.setenv("ORION_RESULTS_TIMEOUT_SECONDS", "0.05")
    yield name
    Hanging.let_go.set()


def test_a_location_that_hangs_is_given_up_and_not_asked_again_for_a_while(hanging: str):
    @task(result_storage=hanging, result_storage_key="{parameters[x]}")
    def one(x: int) -> Any:
        return [x]

    @flow
    def outer() -> Any:
        with override_settings(results_timeout_seconds=0.05):
            one(0)
        with override_settings(results_timeout_seconds=30):
            return [one(x) for x in range(1, 20)]

    state = outer(return_state=True)

    assert state.result() == [[x] for x in range(1, 20)]
    message = task_runs_of(state)[0].state.message
    assert f"location:{hanging}" in message
    assert "ORION_RESULTS_TIMEOUT_SECONDS" in message
    assert f"orion result location check {hanging}" in message


def failing_folder() -> str:
    """No folder can be made there, whoever asks."""
    return "/proc/orion-results"


def test_a_folder_that_takes_nothing_leaves_the_run_complete_and_reports_it():
    @flow(result_storage=failing_folder())
    def outer() -> Any:
        return [1]

    with override_settings(results_persist_by_default=True):
        state = outer(return_state=True)

    assert_completed(state)
    recorded = flow_run_of(state).state
    assert "file:///proc/orion-results failed with" in recorded.message
    with pytest.raises(MissingResult, match="was not stored: file:///proc"):
        recorded.result()


FULL = """
import resource
from orionflow.errors import StorageFailed
from orionflow.results import LocalFileSystem, read_record, write_result

store = LocalFileSystem()
write_result("old", store=store, key="x")
# No file may become longer, as on a disk without room.
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
try:
    write_result("new" * 100_000, store=store, key="x")
except StorageFailed as failed:
    print("File too large" in str(failed), failed.reference["size"])
print([path.name for path in store.basepath.iterdir()], read_record(write_result([1], store=store)))
print(read_record({"type": "reference", "storage": store.where, "storage_key": "x", "serializer_type": "json"}))
"""


def test_a_disk_without_room_keeps_the_old_result_and_no_half_of_the_new_one(tmp_path: Path):
    environment = {"ORION_HOME": str(tmp_path), "PATH": "/usr/bin"}

    ended = warm.run([sys.executable, "-c", FULL], env=environment, capture_output=True, text=True, check=False)

    assert ended.stdout.splitlines() == ["True 300002", "['x'] [1]", "old"], ended.stderr


class Failing:
    """A store that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.where = f"failing://{uuid4().hex}"
        self.failures = failures
        self.kept: dict[str, bytes] = {}

    def write(self, key: str, content: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        self.kept[key] = content

    def read(self, key: str) -> bytes:
        return self.kept[key]

    def exists(self, key: str) -> bool:
        return key in self.kept


def test_results_that_could_not_be_stored_are_stored_when_the_flow_run_ends():
    store = Failing(2)

    @task(result_storage=store, result_storage_key="{parameters[x]}")
    def one(x: int) -> Any:
        return (x,)

    @flow
    def outer() -> Any:
        return one.map([1, 2, 3]).result()

    state = outer(return_state=True)

    assert sorted(store.kept) == ["1", "2", "3"]
    states = [run.state for run in task_runs_of(state)]
    assert sorted(one.result() for one in states) == [(1,), (2,), (3,)]
    assert sum("unstored" in one.data for one in states) == 2
    assert any("are now: 2" in line.message for line in logs_of(state))


def test_a_value_that_changed_before_it_was_stored_again_can_be_read():
    store = Failing(1)

    @task(result_storage=store, result_storage_key="x")
    def one() -> Any:
        return {"n": 1}

    @flow
    def outer() -> Any:
        state = one(return_state=True)
        state.result()["n"] = 22
        assert state.store_result()
        return read_record(state.data), state.data["size"]

    value, size = outer()

    assert value == {"n": 22}
    assert size == len('{"n":22}')


def test_a_program_stores_again_what_it_has_at_hand():
    store = Failing(2)

    @task(result_storage=store, result_storage_key="x")
    def one() -> Any:
        return {"n": 1}

    @flow
    def outer() -> Any:
        future = one.submit()
        future.wait()
        with pytest.raises(Exception, match="No space left"):
            future.store_result()
        assert future.store_result()
        assert not future.store_result(), "nothing is left to do"
        return 1

    state = outer(return_state=True)

    assert store.kept == {"x": b'{"n":1}'}
    assert task_runs_of(state)[0].state.result() == {"n": 1}


def test_results_that_are_never_stored_are_logged_and_not_cached():
    calls: list[int] = []

    @task(cache_key_fn=lambda *_: "key", result_storage=Failing(99))
    def one() -> Any:
        calls.append(1)
        return [1]

    @flow
    def outer() -> Any:
        return one()

    states = [outer(return_state=True) for _ in range(2)]

    assert calls == [1, 1]
    assert any("not stored: 1 (OSError" in line.message for line in logs_of(states[0]))


def test_a_flow_whose_result_is_not_stored_may_run_again(orion: Isolated):
    @flow(result_storage=failing_folder())
    def outer() -> Any:
        return [1]

    with override_settings(results_persist_by_default=True):
        run = flow_run_of(outer(return_state=True))
    with OrionClient() as client:
        answer = client.send(set_flow_run_state(run.id, State(type=StateType.RUNNING)))

    assert answer.status == "ACCEPT"


def test_a_result_is_kept_as_long_as_a_cache_gives_it_out():
    def kept_days(cache: timedelta | None, own: timedelta | None, of_flow: timedelta | None) -> float | None:
        @task(cache_key_fn=lambda *_: uuid4().hex, cache_expiration=cache, result_expiration=own)
        def one() -> Any:
            return [1]

        @flow(result_expiration=of_flow)
        def outer() -> Any:
            one()

        found = task_runs_of(outer(return_state=True))[0].state.data.get("expiration")
        return found and round((datetime.fromisoformat(found) - datetime.now(UTC)) / timedelta(days=1))

    day = timedelta(days=1)
    assert kept_days(30 * day, None, day) == 30
    assert kept_days(day, None, 30 * day) == 30
    assert kept_days(day, None, None) == 1
    assert kept_days(None, None, day) is None, "a cache without an end"
    assert kept_days(30 * day, 2 * day, day) == 2, "as its task says"


# --- expiry ----------------------------------------------------------------------------------------------------------


def test_references_carry_size_format_and_expiry():
    @task(persist_result=True, result_expiration=timedelta(days=2))
    def kept() -> Any:
        return [1, 2]

    @task(cache_key_fn=lambda *_: "k", cache_expiration=timedelta(hours=1))
    def cached() -> Any:
        return (1,)

    @flow(persist_result=True, result_expiration=timedelta(days=9))
    def outer() -> Any:
        kept()
        cached()
        return 7

    @flow
    def plain() -> Any:
        cached.with_options(refresh_cache=True)()

    def days(data: dict[str, Any]) -> float:
        return (datetime.fromisoformat(data["expiration"]) - datetime.now(UTC)) / timedelta(days=1)

    state = outer(return_state=True)
    own = flow_run_of(state).state.data
    by_name = {run.name.split("-")[0]: run.state.data for run in task_runs_of(state)}
    of_cache = task_runs_of(plain(return_state=True))[0].state.data

    assert (own["serializer_type"], own["size"], round(days(own))) == ("json", 1, 9)
    assert (by_name["kept"]["size"], round(days(by_name["kept"]))) == (5, 2)
    assert by_name["cached"]["serializer_type"] == "pickle"
    assert 0 < days(of_cache) < 0.05
