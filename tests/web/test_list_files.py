"""The list of runs as a file: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from runs.pages.filtering import MOST_IDS
from runs.pages.selectors import failures, list_rows, parts
from tests.web.deployments import make_deployment
from tests.web.rows import NOON, make_flow, make_run

EVERY = "state,run,deployment,tags,queue,version,made-by,expected,started,ended,attempts,duration"
BY_ADA = {"id": None, "type": "USER", "display_value": "ada"}


def sent(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="runs-'), answer
    return b"".join(answer).decode()  # type: ignore[arg-type]


def rows_of_csv(browser: Client, query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(sent(browser, f"/runs.csv?{query}"))))


@pytest.fixture
def run(db: None) -> Any:
    deployment = make_deployment("nightly")
    return make_run(
        "brave-otter",
        state="FAILED",
        message="It raised OSError",
        tags=["prod", "eu"],
        deployment_id=deployment.pk,
        deployment_version="7",
        work_queue_name="fast",
        created_by=BY_ADA,
    )


def test_a_list_is_saved_as_csv_and_as_json_lines(browser: Client, run: Any):
    make_run("quiet-heron", at=NOON - timedelta(hours=1))

    (row,) = rows_of_csv(browser, f"state=failed&columns={EVERY}")
    (line,) = map(json.loads, sent(browser, f"/runs.jsonl?state=failed&columns={EVERY}").splitlines())

    assert list(row) == list(line)
    assert line == {
        "id": str(run.pk),
        "flow": "etl",
        "name": "brave-otter",
        "state_type": "FAILED",
        "state_name": "Failed",
        "message": "It raised OSError",
        "deployment_id": str(run.deployment_id),
        "deployment": "nightly",
        "tags": ["prod", "eu"],
        "work_queue_name": "fast",
        "version": "7",
        "made_by": "ada",
        "expected_start_time": "2026-11-20T12:00:00Z",
        "start_time": "2026-11-20T12:00:00Z",
        "end_time": "2026-11-20T12:01:30Z",
        "attempts": 1,
        "duration_seconds": 90.0,
    }
    assert (row["tags"], row["end_time"], row["duration_seconds"]) == ("prod, eu", "2026-11-20T12:01:30+00:00", "90.0")
    assert {one["name"] for one in rows_of_csv(browser, "")} == {"brave-otter", "quiet-heron"}


def test_a_name_is_no_formula_in_a_spreadsheet(browser: Client):
    make_run("=1+1", tags=["@SUM(A1)"], state="FAILED", message="-2+3", flow=make_flow("+flow"))

    (row,) = rows_of_csv(browser, "")

    assert (row["name"], row["tags"], row["message"], row["flow"]) == ("'=1+1", "'@SUM(A1)", "'-2+3", "'+flow")
    assert json.loads(sent(browser, "/runs.jsonl"))["name"] == "=1+1"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_no_part_of_a_text_is_a_formula_for_spreadsheets_with_other_separators(browser: Client, separator: str):
    make_run(f"nightly{separator}=cmd|' /C calc'!A0;", state="FAILED", message="It raised ValueError\n=1+1;\r-2-3\n- b")

    text = sent(browser, "/runs.csv")

    cells = [cell for line in text.splitlines() for cell in line.split(separator)]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert f"nightly{separator}'=cmd|' /C calc'!A0;" in text


@pytest.mark.parametrize("query", ["", "q=otter"], ids=["by an index", "by a search"])
def test_a_file_that_is_cut_says_so_and_where_it_goes_on(browser: Client, monkeypatch: Any, query: str):
    monkeypatch.setattr(list_rows, "MOST_IN_A_FILE", 5)
    monkeypatch.setattr(list_rows, "ROWS_PER_CHUNK", 2)
    for number in range(7):
        make_run(f"otter-{number}", at=NOON - timedelta(minutes=number))

    *lines, last = map(json.loads, sent(browser, f"/runs.jsonl?{query}").splitlines())
    text = sent(browser, f"/runs.csv?{query}")
    rest = sent(browser, last["next"]).splitlines()

    assert [line["name"] for line in lines] == [f"otter-{number}" for number in range(5)]
    assert [json.loads(line)["name"] for line in rest] == ["otter-5", "otter-6"]
    assert text.splitlines()[-1].startswith("Not all: this file ends with runs expected at 2026-11-20T11:56:00+00:00.")


def test_a_search_that_finds_too_little_ends_with_a_note(browser: Client, monkeypatch: Any):
    monkeypatch.setattr(list_rows, "MOST_SEARCHES", 1)
    monkeypatch.setattr("runs.pages.selectors.runs.SEARCHED", 2)
    for number in range(5):
        make_run(f"otter-{number}", at=NOON - timedelta(minutes=number))

    *lines, last = map(json.loads, sent(browser, "/runs.jsonl?q=otter-4").splitlines())

    assert lines == []
    assert last["next"].startswith("/runs.jsonl?q=otter-4&after=2026-11-20T11%3A59")


@pytest.mark.parametrize(("looked_at", "left_out"), [(2, True), (3, False)])
def test_what_is_found_by_an_error_says_that_older_failures_were_not_looked_at(
    browser: Client, monkeypatch: Any, looked_at: int, left_out: bool
):
    now = timezone.now()
    for hours in (1, 2, 3):
        make_run(f"otter-{hours}", state="CRASHED", message="It raised OSError", at=now - timedelta(hours=hours))
    (group,) = failures.error_groups(since=now - timedelta(days=1))
    monkeypatch.setattr(failures, "LOOKED_AT", looked_at)

    lines = [json.loads(line) for line in sent(browser, f"/runs.jsonl?error={group.key}").splitlines()]
    text = sent(browser, f"/runs.csv?error={group.key}")
    page = browser.get(f"/runs?error={group.key}").content.decode()
    bulk = browser.get(f"/runs/all/retry?error={group.key}").content.decode()

    assert [line["name"] for line in lines if "name" in line] == [f"otter-{n}" for n in range(1, looked_at + 1)]
    note = f"Of those expected at {(now - timedelta(hours=3)).isoformat()} or before, some are left out."
    assert [line["note"].endswith(note) for line in lines if "note" in line] == [True] * left_out
    assert (note in text.splitlines()[-1]) is left_out
    assert ("or before, some are left out." in page) is left_out
    assert f'<span class="count">{looked_at}{"+" * left_out}</span>' in page
    assert ("or before, some are left out." in bulk) is left_out


def test_more_runs_than_can_be_chosen_are_no_file_and_no_bulk_action(browser: Client, run: Any):
    ids = ",".join([str(run.pk)] * (MOST_IDS + 1))

    for address in ("/runs.csv", "/runs/all/cancel"):
        answer = browser.get(f"{address}?id={ids}", follow=True)

        # Django does not redirect to an address with so many ids.
        assert answer.redirect_chain == [("/runs?", 302)]
        assert "At most 500 runs can be chosen; this address has 501" in answer.content.decode()


def test_runs_with_long_messages_are_read_and_sent_in_parts(browser: Client, monkeypatch: Any):
    monkeypatch.setattr(parts, "CHARACTERS_PER_PART", 2_500)
    for number, length in enumerate([1_000, 1_000, 3_000, 10]):
        make_run(state="FAILED", message="x" * length, at=NOON - timedelta(minutes=number))

    sent = [[len(json.loads(line)["message"]) for line in part.splitlines()] for part in browser.get("/runs.jsonl")]

    assert sent == [[1_000, 1_000], [3_000], [10]]


def test_a_filter_or_a_column_that_cannot_be_read_is_no_file(browser: Client, run: Any):
    page = browser.get("/runs?q=state:blue").content.decode()

    assert browser.get("/runs.csv?q=state:blue")["location"] == "/runs?q=state%3Ablue"
    assert browser.get("/runs.csv?columns=colour")["location"] == "/runs?columns=colour"
    assert "/runs.csv" not in page
    assert "/runs.csv?state=failed" in browser.get("/runs?state=failed").content.decode()
