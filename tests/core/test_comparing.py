"""Two runs compared: parameters, code and packages, tasks side by side, and the first line of the log."""

from __future__ import annotations

from uuid import uuid4

import pytest

from runs.comparing.core.compared import ComparedRun, ComparedTask, Environment
from runs.comparing.core.differences import differences_of
from runs.comparing.core.log_lines import first_difference
from runs.comparing.core.parameters import changed_parameters
from runs.comparing.core.tasks import aligned, task_differences
from runs.comparing.core.usual import Usual, differs

NOT_KNOWN = Usual()


def run(**fields) -> ComparedRun:
    return ComparedRun(**{"id": uuid4(), "name": "brave-otter", "flow": "etl", **fields})


def task(name: str = "load-0", **fields) -> ComparedTask:
    key, _, number = name.rpartition("-")
    return ComparedTask(**{"id": uuid4(), "key": key, "dynamic_key": number, "name": name, **fields})


def texts(before: ComparedRun, after: ComparedRun, usual: Usual = NOT_KNOWN) -> list[str]:
    return [one.text for one in differences_of(before, after, usual)]


def compared_texts(before: list[ComparedTask], after: list[ComparedTask], usual=None) -> list[tuple[str, str]]:
    found, _ = task_differences(aligned(before, after), usual or {})
    return [(one.name, one.text) for one in found]


def test_runs_that_are_alike_have_no_differences():
    one = run(parameters={"a": 1}, tags=["x", "y"], seconds=3.0)
    other = run(parameters={"a": 1}, tags=["y", "x"], seconds=3.05)

    assert differences_of(one, other, NOT_KNOWN) == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"day": "mon"}, {"day": "tue"}, ["parameter day \"mon\" → \"tue\""]),
        ({}, {"day": "tue"}, ['parameter day "tue" was not set before']),
        ({"day": "mon"}, {}, ['parameter day "mon" is no longer set']),
        ({"at": {"region": "eu", "zone": 1}}, {"at": {"region": "us", "zone": 1}}, ['parameter at.region "eu" → "us"']),
        ({"n": 1}, {"n": True}, ["parameter n 1 → true"]),
        ({"n": None}, {"n": 0}, ["parameter n null → 0"]),
        ({"password": "a"}, {"password": "b"}, ["parameter password ******** (before) → ******** (another value)"]),
        ({"db": {"api_key": "a"}}, {"db": {"api_key": "b"}}, [
            "parameter db.api_key ******** (before) → ******** (another value)"
        ]),
    ],
)  # fmt: skip
def test_differing_parameters_are_listed_one_level_down_without_secrets(before, after, words):
    assert texts(run(parameters=before), run(parameters=after)) == words


def test_large_values_are_described_by_their_size():
    (one,) = changed_parameters({"rows": list(range(1200))}, {"rows": []})

    assert one[1].startswith("1,200 values: [0, 1,")
    assert one[2] == "[]"


def test_code_and_packages_come_first():
    old = Environment("3.11.2", "linux", "4fa9c1d22", "a", {"pandas": "2.2", "six": "1.0"})
    new = Environment("3.11.2", "linux", "9be2d0e11", "b", {"pandas": "2.3", "attrs": "23"})

    assert texts(
        run(environment=old, parameters={"a": 1}, flow_version="1"),
        run(environment=new, parameters={"a": 2}, flow_version="2"),
    ) == [
        "flow version 1 → 2",
        "commit 4fa9c1d → 9be2d0e",
        "attrs 23 is new",
        "pandas 2.2 → 2.3",
        "six 1.0 is gone",
        "parameter a 1 → 2",
    ]


def test_files_that_differ_within_a_commit_are_listed():
    old, new = Environment(commit="4fa9c1d22", files="aaaaaaaaa"), Environment(commit="4fa9c1d22", files="bbbbbbbbb")

    assert texts(run(environment=old), run(environment=new)) == [
        "files of the code aaaaaaa → bbbbbbb (of the same commit)"
    ]


def test_how_unusual_a_duration_is_stands_beside_it():
    usual = Usual(sorted(35 + one / 10 for one in range(50)))

    assert texts(run(seconds=37.0), run(seconds=2.0), usual) == [
        "time running 37 s → 2.0 s (shorter than each of the last 50 good runs, which took 35 s to 40 s)"
    ]


def test_a_duration_within_what_is_usual_is_no_news():
    usual = Usual(sorted([1.0, 2, 4, 8, 9]))

    assert not differs(2.0, 8.0, usual)
    assert differs(2.0, 80.0, usual)
    assert differs(2.0, 8.0, NOT_KNOWN)
    assert not differs(0.01, 0.02, NOT_KNOWN)


def test_the_same_calls_stand_side_by_side():
    before = [task("load-0"), task("load-1"), task("load-2", state_name="Cached")]
    after = [
        task("load-1", state_type="FAILED", state_name="Failed", error="KeyError: 1"),
        task("load-2"),
        task("load-0"),
    ]

    assert compared_texts(before, after) == [
        ("load-1", "Completed → Failed: KeyError: 1"),
        ("load-2", "ran, and was taken from the cache before"),
    ]


def test_calls_whose_keys_are_never_the_same_twice_are_paired_in_their_order():
    before = [task(f"load-{number}", dynamic_key=f"0-{uuid4()}") for number in range(3)]
    after = [task(f"load-{number}", dynamic_key=f"0-{uuid4()}") for number in range(3)]

    assert len(aligned(before, after).pairs) == 3
    assert compared_texts(before, after) == []


def test_a_task_that_one_run_has_more_often_is_one_line():
    before = [task(f"load-{number}") for number in range(38)]

    assert compared_texts(before, [task("save-0")]) == [
        ("load", "38 runs only in the earlier run"),
        ("save-0", "only in the later run"),
    ]


def test_differing_errors_and_numbers_of_attempts_are_listed():
    before = [task(state_type="FAILED", state_name="Failed", error="KeyError: 1", attempts=1)]
    after = [task(state_type="FAILED", state_name="Failed", error="ValueError: 2", attempts=3)]

    assert compared_texts(before, after) == [("load-0", "KeyError: 1 → ValueError: 2, 1 → 3 attempts")]


def test_what_failed_stands_above_what_took_longer():
    before = [task("a-0", seconds=1), task("b-0", seconds=1)]
    after = [task("a-0", seconds=9), task("b-0", seconds=1, state_type="FAILED", state_name="Failed")]

    assert [name for name, _ in compared_texts(before, after)] == ["b-0", "a-0"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("took 1.25 s", "took 310 ms"),
        ("at 2026-11-20 12:00:01,123", "at 2026-11-21 08:30:00.5"),
        ("run 0192d3c4-1111-7abc-8def-0123456789ab", "run 0192d3c4-2222-7abc-8def-0123456789ab"),
        ("<object at 0x7f00aa>", "<object at 0x7f11bb>"),
        ("port 4200", "port=4311"),
        ("brave-otter began", "calm-fox began"),
    ],
)
def test_times_ids_and_names_of_runs_make_no_difference(before, after):
    if before.startswith(("brave", "port")):
        before, after = before.replace("port ", "port:"), after.replace("port=", "port:")

    assert first_difference([before], [after], names_before=["brave-otter"], names_after=["calm-fox"]) is None


def test_numbers_do_make_one():
    found = first_difference(["begin", "read 1200 rows", "end"], ["begin", "read 0 rows", "end"])

    assert (found.line, found.above, found.instead) == ("read 0 rows", ["begin"], "read 1200 rows")


def test_lines_in_another_order_make_none_and_a_repetition_does():
    assert first_difference(["a", "b", "c"], ["c", "a", "b"]) is None
    assert first_difference(["a", "b"], ["a", "a"]).line == "a"
