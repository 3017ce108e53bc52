"""A replay on the whole stack: finished tasks take what was recorded, the failed one runs, and nothing runs unasked."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.replay.conftest import ETL, MENDED, Place
from tests.replay.forging import TASK_RUN, forge, records
from tests.replay.test_hostile_capsules import Bomb

pytestmark = pytest.mark.long


def replayed(place: Place, *words: str, code: int = 0, **options):
    answer = place.orion("replay", *words, "-o", "json", **options)
    assert answer.code == code, answer.err
    return {row["name"]: row for row in json.loads(answer.out)}


def test_the_failed_task_runs_and_the_others_take_their_results(failed: Place):
    file = failed.capsule()

    seen = replayed(failed, str(file), "--entrypoint", "flows.py:etl", "--yes", code=1)

    assert {name: row["now"] for name, row in seen.items()} == {
        "extract-0": "recorded", "transform-0": "recorded", "transform-1": "recorded", "transform-2": "ran",
        "transform-3": "recorded",
    }  # fmt: skip
    assert seen["transform-2"]["now_error"] == "KeyError: 'customer_id'"
    assert {row["matched_by"] for row in seen.values()} == {"inputs"}


def test_the_traceback_is_that_of_the_code(failed: Place):
    answer = failed.orion("replay", "@last", "--entrypoint", "flows.py:etl", "--yes")

    assert 'flows.py", line 13, in transform' in answer.err
    assert "orionflow/replay" not in answer.err


def test_mended_code_completes_and_reports_it(failed: Place):
    file = failed.capsule("--entrypoint", "flows.py:etl")
    failed.write("flows.py", MENDED)

    answer = failed.orion("replay", str(file), "--yes")

    assert answer.code == 0, answer.err
    assert "differ from those of the capsule: flows.py" in answer.err
    assert "The replay is Completed (then: Failed)." in answer.err
    assert "transform-2" in answer.out
    assert "loading 4" in answer.out + answer.err


def test_nothing_is_recorded_where_the_run_was(failed: Place):
    before = failed.orion("flow-run", "ls", "-o", "json").out

    failed.orion("replay", "@last", "--entrypoint", "flows.py:etl", "--yes")

    assert failed.orion("flow-run", "ls", "-o", "json").out == before


def test_the_code_of_the_capsule_runs_elsewhere(failed: Place, tmp_path: Path):
    file = failed.capsule("--entrypoint", "flows.py:etl")
    elsewhere = Place(tmp_path / "elsewhere", tmp_path / "other-home")
    elsewhere.folder.mkdir()

    seen = replayed(elsewhere, str(file), "--code", "capsule", "--yes", code=1)

    assert seen["transform-2"]["now_error"] == "KeyError: 'customer_id'"
    assert list(elsewhere.folder.iterdir()) == []


def test_a_module_of_a_package_keeps_its_neighbours(place: Place, tmp_path: Path):
    place.write("shop/__init__.py", "")
    place.write("shop/prices.py", "def price(row): return row['price']")
    place.write(
        "shop/flows.py",
        """
        from orionflow import flow, task
        from .prices import price

        @task
        def priced(row):
            return price(row)

        @flow
        def pricing():
            return priced({})
        """,
    )
    assert place.orion("run", "shop.flows:pricing").code == 1
    file = place.capsule("--entrypoint", "shop.flows:pricing")
    elsewhere = Place(tmp_path / "elsewhere", tmp_path / "other-home")
    elsewhere.folder.mkdir()

    here = replayed(place, str(file), "--yes", code=1)
    there = replayed(elsewhere, str(file), "--code", "capsule", "--yes", code=1)

    assert here["priced-0"]["now_error"] == there["priced-0"]["now_error"] == "KeyError: 'price'"
    assert here["priced-0"]["matched_by"] == "order"


def test_a_file_named_like_a_module_of_python_is_not_treated_as_it(failed: Place):
    failed.write("json.py", "raise SystemExit('taken')")
    failed.write("logging.py", "raise SystemExit('taken')")

    seen = replayed(failed, "@last", "--entrypoint", "flows.py:etl", "--yes", code=1)

    assert seen["transform-2"]["now"] == "ran"


def test_the_debugger_stops_in_the_function_with_its_arguments(failed: Place):
    file = failed.capsule()

    answer = failed.orion(
        "replay", str(file), "--entrypoint", "flows.py:etl", "--yes", "--debug", stdin="args\np row['id'] * 21\nc\n"
    )

    assert "transform-2 stops at its first line" in answer.out
    assert '-> if row["id"] == 2:' in answer.out
    assert "row = {'id': 2, 'customer': 'c2'}" in answer.out
    assert "(Pdb) 42" in answer.out
    assert answer.code == 1


def test_the_debugger_can_be_left(failed: Place):
    answer = failed.orion(
        "replay", str(failed.capsule()), "--entrypoint", "flows.py:etl", "--yes", "--debug", stdin="q\n"
    )

    assert "The debugger was left" in answer.err
    assert "Traceback" not in answer.err


ASYNC = """
import asyncio
from orionflow import flow, task


@task(persist_result=True)
async def fetch(n):
    await asyncio.sleep(0)
    return n * 2


@task
async def check(values):
    await asyncio.sleep(0)
    total = sum(values)
    if total == 6:
        raise ValueError(f"total {total}")


@flow
async def gathering():
    values = await asyncio.gather(*[fetch(n) for n in (2, 0, 1)])
    await check(values)
"""


def test_async_flows_are_replayed_and_debugged(place: Place):
    place.write("flows.py", ASYNC)
    place.orion("run", "flows.py:gathering")
    # The calls come in another order now.
    place.write("flows.py", ASYNC.replace("(2, 0, 1)", "range(3)"))

    answer = place.orion(
        "replay",
        "@last",
        "--entrypoint",
        "flows.py:gathering",
        "--yes",
        "--debug",
        stdin="p values\nn\nn\np total\nc\n",
    )
    seen = replayed(place, "@last", "--entrypoint", "flows.py:gathering", "--yes", code=1)

    assert "(Pdb) [0, 2, 4]" in answer.out
    assert "(Pdb) 6" in answer.out
    assert {row["matched_by"] for name, row in seen.items() if name.startswith("fetch")} == {"inputs"}
    assert seen["check-0"]["matched_by"] == "order"


NESTED = """
from orionflow import flow, task


@task(persist_result=True)
def number(n):
    return n


@task
def failing(n):
    raise RuntimeError("inside")


@flow(persist_result=True)
def good(n):
    return number(n) + 1


@flow
def bad(n):
    return failing(number(n))


@flow
def outer():
    return bad(good(1))
"""


def test_subflows_take_their_results_or_run_with_what_their_tasks_recorded(place: Place):
    place.write("flows.py", NESTED)
    place.orion("run", "flows.py:outer")

    answer = place.orion("flow-run", "ls", "flow:outer", "-o", "json")
    run = json.loads(answer.out)[0]["id"]
    seen = replayed(place, run, "--entrypoint", "flows.py:outer", "--yes", code=1)

    assert seen["good-0"]["now"] == "recorded"
    assert seen["bad-0"]["now"] == "ran"
    assert seen["number-0"]["now"] == "recorded"
    assert seen["failing-0"]["now_error"] == "RuntimeError: inside"


def test_results_that_were_not_kept_are_computed_again_and_reported(place: Place):
    place.write("flows.py", ETL.replace("(persist_result=True)", ""))
    place.orion("run", "flows.py:etl")

    answer = place.orion("replay", "@last", "--entrypoint", "flows.py:etl", "--yes")

    assert "runs too  extract-0, transform-0, transform-1, transform-3: their results are not in" in answer.err


def test_a_task_that_changed_its_arguments_runs_again_and_is_reported(place: Place):
    place.write(
        "flows.py",
        """
        from orionflow import flow, task

        @task(persist_result=True)
        def enrich(rows):
            rows.append("enriched")

        @task(persist_result=True)
        def size(rows):
            return [*rows]

        @task
        def failing(rows, sizes):
            raise KeyError("price")

        @flow
        def etl():
            rows = ["a"]
            enrich(rows)
            failing(rows, size(rows))
        """,
    )
    place.orion("run", "flows.py:etl")
    file = place.capsule("--entrypoint", "flows.py:etl")

    seen = replayed(place, str(file), "--yes", code=1)
    answer = place.orion("replay", str(file), "--yes")

    assert {name: row["now"] for name, row in seen.items()} == {
        "enrich-0": "ran", "size-0": "recorded", "failing-0": "ran",
    }  # fmt: skip
    assert "runs too  enrich-0: they changed their arguments" in answer.err


def test_a_task_that_the_run_has_not_is_answered_with_those_that_it_has(failed: Place):
    file = str(failed.capsule("--entrypoint", "flows.py:etl"))

    answer = failed.orion("replay", file, "--task", "publish", "--yes")

    assert answer.code == 1
    assert "It has extract-0, transform-0, transform-1" in answer.err


def test_a_chosen_task_runs_and_its_value_is_compared(failed: Place):
    file = str(failed.capsule("--entrypoint", "flows.py:etl"))

    same = replayed(failed, file, "--task", "transform-1", "--until", "transform-1", "--yes")
    failed.write("flows.py", ETL.replace("def extract(n):", "def extract(n):\n    n = n + 1"))
    other = replayed(failed, file, "--task", "extract", "--until", "extract", "--yes")

    assert same["transform-1"]["same_value"] is True
    assert other["extract-0"]["same_value"] is False
    assert "transform-0" not in other


def test_a_task_that_the_run_had_not_reached_can_be_named(failed: Place):
    file = str(failed.capsule("--entrypoint", "flows.py:etl"))
    failed.write("flows.py", MENDED + "    load([])\n")

    answer = failed.orion("replay", file, "--yes", "--task", "load", "--until", "load", "--debug", stdin="p rows\nc\n")

    assert "(Pdb) ['c0', 'c1', 'c2', 'c3']" in answer.out
    assert "loading 4" in answer.out
    assert "loading 0" not in answer.out
    assert "The replay went as far as it was asked to (then: Failed)." in answer.err
    assert failed.orion("replay", file, "--yes", "--until", "nothing").code == 1


def test_parameters_that_were_secret_are_given_again(place: Place):
    place.write(
        "flows.py",
        """
        from orionflow import flow, task

        @task
        def sign_in(password, tries):
            raise ValueError(f"{password[:4]} {tries!r}")

        @flow
        def shopping(password: str, tries: int = 1):
            sign_in(password, tries)
        """,
    )
    place.orion("run", "flows.py:shopping", "-p", "password=hunter22")
    file = str(place.capsule("--entrypoint", "flows.py:shopping"))

    masked = place.orion("replay", file, "--yes")
    given = replayed(place, file, "--yes", "-p", "password=12345678", "-p", "tries=3", code=1)

    assert "Of password the flow gets the names of secrets" in masked.err
    assert given["sign_in-0"]["now_error"] == "ValueError: 1234 3"


def test_offline_refuses_every_connection(place: Place):
    place.write(
        "flows.py",
        """
        import socket
        from orionflow import flow, task

        @task
        def ask(host):
            socket.create_connection((host, 9), timeout=1)

        @flow
        def asking():
            ask("127.0.0.1")
        """,
    )
    place.orion("run", "flows.py:asking")

    seen = replayed(place, "@last", "--entrypoint", "flows.py:asking", "--yes", "--offline", code=1)

    assert "This replay is offline" in seen["ask-0"]["now_error"]


def test_the_file_of_a_task_is_edited_first_and_the_change_is_shown(failed: Place):
    editor = failed.write(
        "editor.py",
        """
        import pathlib, sys
        path = pathlib.Path(sys.argv[-1])
        path.write_text(path.read_text().replace('row["customer_id"]', 'row["customer"]'))
        """,
    )
    import sys

    answer = failed.orion(
        "replay", "@last", "--entrypoint", "flows.py:etl", "--yes", "--edit", "transform",
        EDITOR=f"{sys.executable} {editor}",
    )  # fmt: skip

    assert answer.code == 0, answer.err
    assert '-        return row["customer_id"]' in answer.err
    assert '+        return row["customer"]' in answer.err


def test_nothing_of_a_hostile_capsule_runs_without_agreement(place: Place, tmp_path: Path):
    mark = place.folder / "mark"
    own = records()["flow_runs"][0] | {
        "results": {TASK_RUN: {"file": "results/0123456789abcdef.bin", "serializer": "pickle"}}
    }
    own["run"] |= {"name": "calm\x1b]52;c;ZXZpbA==\x07fox\n  runs      nothing", "parameters": {"x": "{0.__class__}"}}
    file = forge(
        place.folder / "evil.orion",
        {
            "results/0123456789abcdef.bin": pickle.dumps(Bomb(mark)),
            "code/flows.py": f"import os; os.mkdir({str(mark)!r})".encode(),
        },
        runs=records(flow_runs=[own]),
        manifest={"code": {"entrypoint": "flows.py:etl", "commit": "\x1b[2J"}, "made_by": "\u202egro.live"},
    )
    before = set(tmp_path.rglob("*"))

    answer = place.orion("replay", str(file), "--code", "capsule")

    assert answer.code == 2
    assert "Refused to run this code here and read 1 pickles" in answer.err
    assert not mark.exists()
    assert {path for path in set(tmp_path.rglob("*")) - before if not path.is_relative_to(place.home)} == set()
    assert not set("\x1b\x07\u202e") & set(answer.err + answer.out)
    assert "\n  runs      nothing" not in answer.err


@pytest.mark.parametrize("words", [["nothing-there.orion"], ["@last-failed"]])
def test_missing_parts_are_reported(place: Place, words: list[str]):
    assert place.orion("replay", *words).code == 5
