"""Reading a pickle runs what is in it, so none is read that a holder of our key did not write just there."""

from __future__ import annotations

import os
import pickle
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orionflow import flow, task
from orionflow.contract.seals import MARK
from orionflow.errors import MissingResult, SettingsError, UntrustedResult
from orionflow.results import LocalFileSystem, read_record, write_result
from orionflow.results.resealing import seal_in, unsealed_in
from orionflow.results.sealing import KEY_FILE
from orionflow.serializers import CompressedSerializer, PickleSerializer, register_serializer
from orionflow.settings import override_settings
from orionflow.testing import Isolated, flow_run_of, logs_of

OTHER_KEY = "a key of somebody else's"


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.sprung),)


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """Exists once a trap was read."""
    return tmp_path / "sprung"


@pytest.fixture
def trap(sprung: Path) -> bytes:
    return pickle.dumps(Trap(sprung))


def stored(value: Any = (1, 2), key: str | None = None, **options: Any) -> dict[str, Any]:
    return write_result(value, store=LocalFileSystem(), key=key, **options)


def file_of(record: dict[str, Any]) -> Path:
    return LocalFileSystem().basepath / record["storage_key"]


def stripped(record: dict[str, Any], trap: bytes) -> None:
    file_of(record).write_bytes(file_of(record).read_bytes().partition(b"\x80")[1] + trap[1:])


def replaced(record: dict[str, Any], trap: bytes) -> None:
    file_of(record).write_bytes(trap)


def behind_the_old_seal(record: dict[str, Any], trap: bytes) -> None:
    old = file_of(record).read_bytes()
    file_of(record).write_bytes(old[: len(MARK) + 32] + trap)


def with_a_seal_of_zeros(record: dict[str, Any], trap: bytes) -> None:
    file_of(record).write_bytes(MARK + bytes(32) + trap)


def cut_in_the_seal(record: dict[str, Any], trap: bytes) -> None:
    file_of(record).write_bytes(file_of(record).read_bytes()[: len(MARK) + 7])


def shortened(record: dict[str, Any], trap: bytes) -> None:
    file_of(record).write_bytes(file_of(record).read_bytes()[:-1])


def extended(record: dict[str, Any], trap: bytes) -> None:
    with file_of(record).open("ab") as file:
        file.write(trap)


def linked(record: dict[str, Any], trap: bytes) -> None:
    elsewhere = LocalFileSystem().basepath.parent / "trap"
    elsewhere.write_bytes(trap)
    file_of(record).unlink()
    file_of(record).symlink_to(elsewhere)


ATTACKS = [
    stripped,
    replaced,
    behind_the_old_seal,
    with_a_seal_of_zeros,
    cut_in_the_seal,
    shortened,
    extended,
    linked,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_changed_file_is_not_unpickled(sprung: Path, trap: bytes, attack: Callable[[dict[str, Any], bytes], None]):
    record = stored()
    attack(record, trap)

    with pytest.raises(UntrustedResult, match="seal"):
        read_record(record)

    assert not sprung.exists()


def test_a_sealed_file_is_refused_under_another_key_folder_or_serializer(tmp_path: Path):
    record, other = stored(("mine",)), stored(("other",))
    swapped = file_of(other).read_bytes()
    file_of(other).write_bytes(file_of(record).read_bytes())
    (tmp_path / record["storage_key"]).write_bytes(file_of(record).read_bytes())
    elsewhere = {**record, "storage": tmp_path.as_uri()}

    with override_settings(results_read_from=(str(tmp_path),)):
        for moved in (other, elsewhere, {**record, "serializer_type": "compressed/pickle"}):
            with pytest.raises(UntrustedResult, match="moved"):
                read_record(moved)
    file_of(other).write_bytes(swapped)

    assert read_record(record) == ("mine",)
    assert read_record(other) == ("other",)


def test_a_reference_cannot_have_json_read_as_a_pickle(sprung: Path, trap: bytes):
    record = stored({"text": trap.decode("latin-1")})
    assert record["serializer_type"] == "json"

    for kind in ("pickle", "compressed/pickle", "compressed/compressed/pickle", None):
        with pytest.raises(UntrustedResult, match="no seal"):
            read_record({**record, "serializer_type": kind})
    with pytest.raises(MissingResult):
        read_record({**stored((1, 2)), "serializer_type": "json"})

    assert not sprung.exists()


def test_custom_serializers_are_sealed_unless_they_declare_to_run_no_code():
    class Pickling(PickleSerializer):
        type = "pickling"

    class Plain:
        type = "plain"
        runs_no_code = True

        def dumps(self, value: Any) -> bytes:
            return str(value).encode()

        def loads(self, content: bytes) -> Any:
            return content.decode()

    for serializer in (Pickling(), Plain()):
        register_serializer(serializer)
        record = stored("a", serializer=serializer)
        assert read_record(record) == "a"
        assert file_of(record).read_bytes().startswith(MARK) is (serializer.type == "pickling")
    small = stored("a", serializer=CompressedSerializer(Plain()))
    assert zlib.decompress(file_of(small).read_bytes()) == b"a"


def test_another_installation_needs_the_same_key(orion: Isolated):
    record = stored()
    with override_settings(results_key=OTHER_KEY):
        theirs = stored(("theirs",))
        # What the key of this home has sealed stays ours.
        assert read_record(record) == (1, 2)
        assert read_record(theirs) == ("theirs",)

    with pytest.raises(UntrustedResult, match="ORION_RESULTS_KEY"):
        read_record(theirs)
    (orion.home / KEY_FILE).rename(orion.home / "forgotten")
    with override_settings(results_key=OTHER_KEY):
        assert read_record(theirs) == ("theirs",)
        assert not (orion.home / KEY_FILE).exists(), "a key that is given makes no other"


def test_the_key_in_the_home_is_its_owners_alone(orion: Isolated):
    stored()

    assert stat.S_IMODE((orion.home / KEY_FILE).stat().st_mode) == 0o600


def test_the_key_of_the_settings_is_masked_in_logs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_RESULTS_KEY", OTHER_KEY)

    @flow(persist_result=True, log_prints=True)
    def outer() -> Any:
        stored()
        print("the key is", os.environ["ORION_RESULTS_KEY"])
        return 1

    lines = [line.message for line in logs_of(outer(return_state=True))]

    assert any(line.startswith("the key is ") for line in lines)
    assert not any(OTHER_KEY in line for line in lines)


def test_json_needs_no_key(orion: Isolated):
    assert read_record(stored({"rows": 3})) == {"rows": 3}

    assert not (orion.home / KEY_FILE).exists()


def test_an_emptied_key_file_is_not_a_key(orion: Isolated, tmp_path: Path):
    with override_settings(home=tmp_path):
        (tmp_path / KEY_FILE).write_bytes(b"")
        with pytest.raises(SettingsError, match="damaged"):
            stored()


def test_a_short_key_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORION_RESULTS_KEY", "short")

    with pytest.raises(SettingsError, match="16 characters") as refused:
        stored()
    assert "=short" not in str(refused.value)


def test_a_cached_result_whose_seal_is_broken_is_a_miss(orion: Isolated, sprung: Path, trap: bytes):
    calls: list[int] = []

    @task(cache_key_fn=lambda *_: "key")
    def compute() -> tuple[int]:
        calls.append(1)
        return (len(calls),)

    @flow(persist_result=True)
    def outer() -> Any:
        return compute()

    outer()
    for file in (orion.home / "results").iterdir():
        file.write_bytes(trap)

    state = outer(return_state=True)

    assert state.result() == (2,)
    assert flow_run_of(state).state.result() == (2,)
    assert any("no seal" in line.message for line in logs_of(state))
    assert not sprung.exists()


def test_pickles_of_the_time_before_seals_are_sealed_by_their_owner():
    store = LocalFileSystem()
    record, small = stored(key="old"), stored(key="sub/small", serializer=CompressedSerializer())
    json = stored([1], key="json")
    for one, content in ((record, pickle.dumps((1, 2))), (small, zlib.compress(pickle.dumps((1, 2))))):
        file_of(one).write_bytes(content)
        # References of that time have none.
        del one["digest"]
    (store.basepath / "link").symlink_to(file_of(record))
    with pytest.raises(UntrustedResult, match="orion result seal"):
        read_record(record)

    found = sorted(unsealed_in(store), key=lambda one: one.key)
    for one in found:
        seal_in(store, one)

    assert [(one.key, one.kind) for one in found] == [("old", "pickle"), ("sub/small", "compressed/pickle")]
    assert [read_record(one) for one in (record, small, json)] == [(1, 2), (1, 2), [1]]
    assert list(unsealed_in(store)) == []
