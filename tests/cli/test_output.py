"""Tables line up, structures are valid, and only screens get colour."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from orionflow.cli.errors import CommandFailed
from orionflow.cli.output import Column, Output
from orionflow.cli.tables import Cell, display_width, render_table
from orionflow.cli.terminal import Terminal
from orionflow.cli.yaml_text import as_yaml

ROWS = [{"id": "1", "name": "brave-otter", "state": {"message": "a\nb"}}, {"id": "2", "name": "日本", "state": None}]
COLUMNS = [
    Column("NAME", lambda row: row["name"], field="name"),
    Column("MESSAGE", lambda row: (row["state"] or {}).get("message") or "", field="state.message"),
    Column("ID", lambda row: row["id"], field="id", wide=True),
]


def printed(capsys: pytest.CaptureFixture[str], form: str, *columns: str) -> str:
    Output(form, columns, Terminal()).show_many(ROWS, COLUMNS)
    return capsys.readouterr().out


def test_a_table_is_aligned_for_cells_of_any_content(capsys):
    lines = printed(capsys, "table").splitlines()

    assert lines[0].split() == ["NAME", "MESSAGE"]
    assert lines[1] == "brave-otter  a b"
    assert lines[2] == "日本"


def test_wide_shows_further_columns(capsys):
    assert printed(capsys, "wide").splitlines()[0].split() == ["NAME", "MESSAGE", "ID"]


def test_columns_can_be_titles_or_fields(capsys):
    lines = printed(capsys, "table", "id", "state.message").splitlines()

    assert lines[0].split() == ["ID", "STATE.MESSAGE"]
    assert lines[2].split() == ["2", "-"]


def test_json_is_the_object_and_can_be_narrowed(capsys):
    assert json.loads(printed(capsys, "json")) == ROWS
    assert json.loads(printed(capsys, "json", "id", "state.message")) == [
        {"id": "1", "state.message": "a\nb"},
        {"id": "2", "state.message": None},
    ]


def test_json_lines_hold_one_object_each(capsys):
    assert [json.loads(line) for line in printed(capsys, "jsonl").splitlines()] == ROWS


def test_csv_can_be_read_again(capsys):
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "csv"))))

    assert rows[0] == {"name": "brave-otter", "message": "a\nb", "id": "1"}


def test_nothing_is_nothing_in_csv(capsys):
    columns = [
        Column("NAME", lambda row: row["name"], "name"),
        Column("TAGS", lambda row: ", ".join(row["tags"]) or "-"),
    ]

    Output("csv", (), Terminal()).show_many([{"name": "-", "tags": []}, {"name": "b", "tags": ["x"]}], columns)

    assert capsys.readouterr().out.splitlines() == ["name,tags", "-,", "b,x"]


def test_names_stand_alone(capsys):
    assert printed(capsys, "name").splitlines() == ["brave-otter", "日本"]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("nightly;=cmd|' /C calc'!A0;", "nightly;'=cmd|' /C calc'!A0;"),
        ("It raised ValueError\n=1+1;", "It raised ValueError\n'=1+1;"),
        ("=1+1", "'=1+1"),
        ("a;b - c = d\ne@f", "a;b - c = d\ne@f"),
    ],
)
def test_no_part_of_a_text_is_a_formula_in_a_spreadsheet(capsys, text: str, safe: str):
    row = {"name": text, "tags": [text], "number": -1.5}
    Output("csv", (*row,), Terminal()).show_many([row], [])

    assert [*csv.reader(io.StringIO(capsys.readouterr().out, newline=""))][1] == [safe, safe, "-1.5"]


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1"])
def test_no_name_is_a_formula_in_a_spreadsheet(capsys, name):
    Output("csv", (), Terminal()).show_many(
        [{"name": name, "number": -1}], [Column("NAME", str, "name"), Column("N", str, "number")]
    )

    [row] = csv.reader(io.StringIO(capsys.readouterr().out.partition("\n")[2]))
    assert row[0].startswith("'")
    assert row[1] == "-1"


@pytest.mark.parametrize("form", ["table", "csv", "json", "yaml", "jsonl"])
def test_an_unknown_column_is_refused_with_the_existing_ones(form):
    with pytest.raises(CommandFailed, match="no column 'nope'") as refused:
        Output(form, ("name", "nope"), Terminal()).show_many(ROWS, COLUMNS)

    assert refused.value.code == 2
    assert "state" in refused.value.fix


def test_a_column_that_is_nearly_one_is_proposed_also_of_one_object():
    with pytest.raises(CommandFailed) as refused:
        Output("table", ("nmae",), Terminal()).show_one(ROWS[0])

    assert refused.value.fix == "did you mean name?"


def test_titles_of_several_words_are_named_in_any_spelling(capsys):
    columns = [Column("LAST RUN", lambda row: "never")]

    Output("table", ("last_run", "Last Run", "last-run"), Terminal()).show_many([{"id": 1}], columns)

    assert capsys.readouterr().out.splitlines()[1].split() == ["never", "never", "never"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@example(1e-05)
@example([-1e16, 1.5e300])
@given(JSON_VALUES.filter(lambda value: "\x85" not in repr(value)))
def test_yaml_reads_back_as_what_was_written(value):
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        return

    assert yaml.safe_load(as_yaml(value)) == value


def test_no_colour_without_a_screen_and_with_no_color(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert not Terminal().has_color()

    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Terminal().has_color()

    monkeypatch.setenv("NO_COLOR", "1")
    assert not Terminal().has_color()


def test_no_rows_make_no_table():
    assert render_table(["A"], [], Terminal()) == ""


def test_wide_characters_take_two_columns():
    table = render_table(
        ["A", "B"], [[Cell("日本", "日本"), Cell("x", "x")], [Cell("abcd", "abcd"), Cell("y", "y")]], Terminal()
    )

    assert [display_width(line) for line in table.splitlines()[1:]] == [7, 7]
