"""Foreign text reaches a terminal as plain text: no escape sequence, no reordering, no forged line."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orionflow.cli.output import Column, Output
from orionflow.cli.safe_text import as_json, cleaned, one_line, ours, printable, styled
from orionflow.cli.status_line import StatusLine
from orionflow.cli.style import painted
from orionflow.cli.terminal import Terminal
from orionflow.cli.yaml_text import as_yaml
from tests.cli.conftest import companion

EVIL = {
    "clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "clear": "\x1b[2J\x1b[H",
    "C1": "\x9b2J\x9d52;c;eA==\x9c",
    "title": "\x1b]0;root@host\x07",
    "overwrite": "failed\rok    ",
    "backspace": "no\b\byes",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069",
    "query": "\x1b[6n\x1b[c",
    "concealed": "\x1b[8mhidden\x1b[0m",
    "lines": "a\u2028b\u2029c\x85d",
    "half": "\ud83d",
    "nul": "a\x00b",
}
TEXTS = st.text(st.characters(codec=None) | st.sampled_from("\x1b\x9b\x07[]m;0123\r\n\t\u202e\ud800"))


def is_harmless(text: str) -> bool:
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return all(
        letter in "\n\t"
        or (unicodedata.category(letter) not in ("Cc", "Cs") and unicodedata.bidirectional(letter) not in bidi)
        for letter in text
    )


@given(TEXTS)
def test_nothing_that_a_terminal_acts_on_is_left(text):
    assert is_harmless(cleaned(text))
    assert is_harmless(printable(text))
    assert "\n" not in one_line(text)
    printable(text).encode()


@given(TEXTS, TEXTS)
def test_only_our_own_colours_are_drawn(ours_text, theirs):
    shown = printable(styled(ours_text, fg="red") + theirs)

    assert shown == f"\x1b[31m{cleaned(ours_text)}\x1b[0m{cleaned(theirs)}"


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8))
def test_json_escapes_and_reads_back_as_what_it_was(value):
    text = as_json(value, indent=2)

    assert is_harmless(text)
    assert json.loads(text) == json.loads(json.dumps(value))


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_yaml_escapes_too(text):
    written = as_yaml({"text": text})

    assert is_harmless(written)
    if text != EVIL["half"]:
        assert yaml.safe_load(written) == {"text": text}


def test_colours_of_log_lines_are_left_out_and_the_rest_is_made_visible():
    assert cleaned("\x1b[31mred\x1b[0m \x1b[2J\u202e") == "red \\x1b[2J\\u202e"
    assert cleaned("one\r\ntwo\tthree") == "one\ntwo\tthree"


def test_colours_of_known_libraries_are_drawn():
    assert printable(ours("\x1b[1mTITLE\x1b[0m")) == "\x1b[1mTITLE\x1b[0m"


@pytest.mark.parametrize("form", ["table", "wide", "csv", "name"])
@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_tables_and_names_are_cleaned_and_still_line_up(capsys, form, evil, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [{"id": "11", "name": evil}, {"id": "22", "name": "plain"}]
    columns = [
        Column("NAME", lambda row: row["name"], field="name", paint=lambda text, row: painted(text, "FAILED")),
        Column("ID", lambda row: row["id"], field="id"),
    ]

    Output(form, (), Terminal()).show_many(rows, columns)

    shown = capsys.readouterr().out
    assert is_harmless(shown.replace("\x1b[31m", "").replace("\x1b[0m", ""))
    if form == "table":
        lines = [line.replace("\x1b[31m", "").replace("\x1b[0m", "") for line in shown.splitlines()]
        assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_errors_notes_and_the_progress_line_are_cleaned(capsys, evil, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    terminal.no_color = True
    line = StatusLine(terminal)

    terminal.error(evil)
    terminal.note(evil)
    terminal.announce(evil)
    line.show(f"{evil}\nerror: all is lost")

    out, err = capsys.readouterr()
    assert is_harmless(out)
    assert is_harmless(err.replace("\r\x1b[2K", ""))
    assert "\nerror: all is lost" not in err


FALSE = "error: all is lost"
FLOW = """
import logging

from orionflow import flow, get_run_logger, task
from orionflow.states import Failed
EVIL = {evil!r}


@task(name="t" + EVIL)
def say():
    get_run_logger().info(EVIL)


@flow(name="evil")
def evil():
    say()
    return Failed(name="bad\\n{false}", message=EVIL)
"""


def test_a_hostile_run_can_be_looked_at(tmp_path):
    evil = "".join(EVIL[name] for name in ("clipboard", "clear", "C1", "overwrite", "bidi", "concealed"))
    (tmp_path / "evil.py").write_text(FLOW.format(evil=evil, false=FALSE))
    with companion(tmp_path / "home", tmp_path) as orion:
        orion("run", "evil.py:evil", "--name", f"x\n{FALSE}{evil}")
        looks = [
            orion(*words)
            for words in [
                ("fr", "ls"),
                ("fr", "logs", "@last"),
                ("fr", "inspect", "@last"),
                ("fr", "why", "@last"),
                ("fr", "watch", "@last"),
                ("fr", "ls", "-o", "json"),
                ("fr", "logs", "@last", "-o", "jsonl"),
                ("tr", "ls"),
                ("tr", "why", "@last"),
                ("fr", "cancel", "@last"),
                ("fr", "delete", "@last"),
                ("fr", "inspect", "x" + evil[:-1]),
                (f"fr{evil}",),
                ("fr", "ls", f"--{evil}"),
            ]
        ]

    assert all(is_harmless(answer.out + answer.err) for answer in looks)
    assert FALSE in looks[3].out
    assert not any(line.startswith(FALSE) for line in looks[3].out.splitlines())
    assert "\\x1b]52;c;" in looks[1].out
