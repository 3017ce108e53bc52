"""A capsule from anybody: reading it runs nothing and leaves nothing, whatever is in it."""

from __future__ import annotations

import json
import os
import pickle
import stat
import zipfile
import zlib
from pathlib import Path

import pytest

from orionflow.errors import MissingResult
from orionflow.replay.capsule import BadCapsule, read_capsule
from orionflow.replay.code_files import differing_files
from orionflow.replay.plan import NoCode, make_plan
from orionflow.replay.recording import unpacked
from orionflow.replay.records import read_records
from orionflow.replay.running import own_copy
from tests.replay.forging import FLOW_RUN, TASK_RUN, forge, records


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


ESCAPES = [
    "../evil.py", "/etc/evil.py", "code/../../evil.py", "code/./evil.py", "code//evil.py", "code/.ssh/config",
    "code/..\\evil.py", "C:/evil.py", "code/C:/evil.py", "code/a\u202eyp.exe", "code/a\x1b[2J.py", "code/.env",
    "results/../x.bin", "results/evil.pkl", "home/orion.db", "code/", "code/a/b/c/d/e/f/g/h/i/j/k/l/m.py",
    "code/" + "a" * 300 + ".py", "code/con .py", "code/a.py.",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_anywhere_else_are_refused(tmp_path, name):
    file = forge(tmp_path / "evil.orion", {name: b"evil"})

    with pytest.raises(BadCapsule, match="member"):
        read_capsule(file)


def test_a_link_is_refused(tmp_path):
    entry = zipfile.ZipInfo("code/link.py")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16

    with pytest.raises(BadCapsule, match="not a plain file"):
        read_capsule(forge(tmp_path / "evil.orion", entries=[(entry, b"/etc/passwd")]))


@pytest.mark.parametrize("second", ["code/flows.py", "code/FLOWS.py"])
def test_two_members_of_one_name_are_refused(tmp_path, second):
    with pytest.warns(UserWarning, match="Duplicate") if second == "code/flows.py" else _nothing():
        file = forge(tmp_path / "evil.orion", {"code/flows.py": b"good"}, entries=[(second, b"evil")])

    with pytest.raises(BadCapsule, match="twice"):
        read_capsule(file)


def _nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_members_that_the_manifest_does_not_list_are_refused(tmp_path):
    file = forge(tmp_path / "evil.orion", entries=[("code/more.py", b"evil")])

    with pytest.raises(BadCapsule, match="other members"):
        read_capsule(file)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ({"version": 2}, "version"),
        ({"version": "1\x1b[2J"}, "version"),
        ({"version": None}, "version"),
        ({"format": "zip"}, "not a capsule"),
        ({"members": None}, "no members"),
        ({"members": {"runs.json": {"size": 3, "sha256": "00"}}}, "as large"),
        ({"members": {"runs.json": "runs"}}, "as large"),
    ],
)
def test_manifests_of_other_kinds_are_refused(tmp_path, manifest, why):
    with pytest.raises(BadCapsule, match=why):
        read_capsule(forge(tmp_path / "evil.orion", manifest=manifest))


def test_a_member_with_another_digest_is_refused(tmp_path):
    content = json.dumps(records()).encode()
    members = {"runs.json": {"size": len(content), "sha256": "0" * 64}}

    with pytest.raises(BadCapsule, match="digest differs"):
        read_capsule(forge(tmp_path / "evil.orion", manifest={"members": members}))


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path):
    file = forge(tmp_path / "evil.orion", {"results/0123456789abcdef.bin": b"\0" * 50_000_000})
    # The sizes of the directory are changed, and those of the manifest with them: only the stream knows better.
    content = file.read_bytes().replace((50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    file.write_bytes(content)

    with pytest.raises(BadCapsule):
        read_capsule(file)


def test_more_content_than_a_capsule_may_have_is_refused_before_it_is_unpacked(tmp_path):
    file = forge(tmp_path / "evil.orion", {"results/0123456789abcdef.bin": b"\0" * 1_000_000})
    huge = (3_000_000_000).to_bytes(4, "little")
    file.write_bytes(file.read_bytes().replace((1_000_000).to_bytes(4, "little"), huge))

    with pytest.raises(BadCapsule, match="larger than 1 GB"):
        read_capsule(file)


def test_a_list_of_members_that_never_ends_is_not_read(tmp_path):
    file = forge(tmp_path / "evil.orion")
    content = bytearray(file.read_bytes())
    content[-10:-6] = (2_000_000_000).to_bytes(4, "little")
    file.write_bytes(content)

    with pytest.raises(BadCapsule, match="not a capsule"):
        read_capsule(file)


def test_a_compressed_result_that_never_ends_is_not_read(monkeypatch):
    monkeypatch.setattr("orionflow.replay.recording.LARGEST_CONTENT", 1000)

    with pytest.raises(MissingResult):
        unpacked(zlib.compress(b"x" * 100_000))


def test_files_here_are_compared_within_bounds(tmp_path):
    (tmp_path / "huge.py").write_bytes(b"x" * 300_000)
    (tmp_path / "endless.py").symlink_to("/dev/zero")

    assert differing_files({"huge.py": {"sha256": ""}, "endless.py": {}, "gone.py": {}}, tmp_path) == [
        "huge.py", "endless.py", "gone.py",
    ]  # fmt: skip


def test_too_many_members_are_refused(tmp_path):
    many = {f"results/{number:016x}.bin": b"" for number in range(20_001)}

    with pytest.raises(BadCapsule, match="members"):
        read_capsule(forge(tmp_path / "evil.orion", many))


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100, zlib.compress(b"x" * 1000)])
def test_a_file_that_is_not_a_zip_is_refused(tmp_path, content):
    file = tmp_path / "evil.orion"
    file.write_bytes(content)

    with pytest.raises(BadCapsule, match="not a capsule"):
        read_capsule(file)


@pytest.mark.parametrize("broken", ["[" * 200_000, "nonsense", "[]", '"text"', '{"flow": 1}', "{}"])
def test_invalid_records_are_refused(tmp_path, broken):
    file = tmp_path / "evil.orion"
    forge(file, {"runs.json": broken.encode()})

    with pytest.raises(BadCapsule):
        read_records(read_capsule(file))


@pytest.mark.parametrize(
    "changes",
    [
        {"root": "../../etc"},
        {"flow_runs": []},
        {"flow_runs": [{"run": {"id": "../x"}}]},
        {"flow_runs": "all"},
        {"flow": {"name": ["x"]}},
        {"flow_runs": [{"run": {"id": FLOW_RUN}, "task_runs": [{"id": TASK_RUN, "task_key": 7}]}]},
    ],
)
def test_records_of_another_shape_are_refused(tmp_path, changes):
    with pytest.raises(BadCapsule, match=r"records|lacks"):
        read_records(read_capsule(forge(tmp_path / "evil.orion", runs=records(**changes))))


@pytest.mark.parametrize(
    "entrypoint",
    ["os:system", "subprocess:run", "/etc/passwd:x", "../outside.py:flow", "builtins:exec", "x.py:y", "", 7, None],
)
def test_no_entry_point_leads_out_of_the_folder(tmp_path, entrypoint):
    (tmp_path / "outside.py").write_text("raise SystemExit")
    here = tmp_path / "here"
    here.mkdir()
    deployed = records(deployment={"entrypoint": entrypoint})
    file = forge(tmp_path / "evil.orion", runs=deployed, manifest={"code": {"entrypoint": entrypoint}})

    for code in ("local", "capsule"):
        with pytest.raises(NoCode):
            make_plan(read_capsule(file), code=code, here=here)


def test_other_packages_of_the_run_are_named(tmp_path):
    (tmp_path / "flows.py").write_text("")
    given = {"environment_of": "the run", "python": "2.7.18", "packages": {"pydantic": "0.1", "no-such-package": "7"}}
    file = forge(tmp_path / "good.orion", manifest={**given, "code": {"entrypoint": "flows.py:etl"}})

    warnings = " ".join(make_plan(read_capsule(file), here=tmp_path).warnings)

    assert "The run was of Python 2.7.18" in warnings
    assert "pydantic 0.1 (here 2" in warnings
    assert "no-such-package 7 (here none)" in warnings


def test_before_consent_nothing_is_unpickled_or_written(tmp_path):
    mark = tmp_path / "mark"
    own = records()["flow_runs"][0] | {
        "results": {TASK_RUN: {"file": "results/0123456789abcdef.bin", "serializer": "pickle"}}
    }
    file = forge(
        tmp_path / "evil.orion",
        {"results/0123456789abcdef.bin": pickle.dumps(Bomb(mark)), "code/flows.py": b"import os; os.mkdir('mark')"},
        runs=records(flow_runs=[own]),
        manifest={"code": {"entrypoint": "flows.py:etl"}},
    )
    before = set(tmp_path.rglob("*"))

    plan = make_plan(read_capsule(file), code="capsule")

    assert len(plan.pickles) == 1
    assert plan.sealed_here == 0
    assert set(tmp_path.rglob("*")) == before
    assert not mark.exists()


def test_unpacked_files_stay_in_their_folder_and_belong_to_their_owner(tmp_path):
    file = forge(tmp_path / "good.orion", {"code/shop/flows.py": b"x = 1", "code/__init__.py": b""})
    target = tmp_path / "code"

    read_capsule(file).unpack_code(target)

    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path != file} == {
        "code", "code/shop", "code/shop/flows.py", "code/__init__.py",
    }  # fmt: skip
    assert stat.S_IMODE(os.stat(target / "shop" / "flows.py").st_mode) == 0o600


def test_a_capsule_is_copied_before_it_is_read(tmp_path):
    file = forge(tmp_path / "good.orion")
    copy = own_copy(file, tmp_path)

    file.write_bytes(b"changed since")

    assert read_capsule(copy).runs["root"] == FLOW_RUN


def test_a_literal_that_names_a_template_stays_a_text(tmp_path):
    evil = "{{ ''.__class__.__mro__ }} %s {0.__class__} ${HOME} $(id)"
    own = records()["flow_runs"][0] | {"results": {TASK_RUN: {"literal": evil}}}

    read = read_records(read_capsule(forge(tmp_path / "evil.orion", runs=records(flow_runs=[own]))))

    assert read.root.results[TASK_RUN].literal == evil
