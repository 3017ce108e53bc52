"""The check of struck words reads identifiers and prose alike."""

from __future__ import annotations

from collections import Counter

import pytest

from tests import words


@pytest.mark.parametrize(
    "text", ["plan_anew", "PlanAnew", "ANEW = 1", "Planned anew.", "take_back, takenBack", "It takes\nback"]
)
def test_struck_words_are_found_in_identifiers_and_in_prose(text):
    assert list(words.struck_in(text, is_code=True))


@pytest.mark.parametrize("text", ["renewal", "planes", "indoors", "take. Back", "the beginning of an id", "retelling"])
def test_words_that_only_look_alike_are_left_alone(text):
    assert not list(words.struck_in(text, is_code=True))


def test_docstrings_may_not_begin_with_what_or_the_same():
    source = '"""What it says."""\n"""The same, later."""\n"""Whatever."""\n# What it is.\n'

    assert sorted(words.struck_in(source, is_code=True)) == ['"""The same', '"""What']


def test_more_than_is_allowed_fails_and_names_the_word(monkeypatch, capsys):
    monkeypatch.setattr(words, "allowed", lambda: Counter({("anew", "docs"): 1}))
    monkeypatch.setattr(words, "count", lambda: Counter({("anew", "docs"): 2}))
    monkeypatch.setattr("sys.argv", ["words"])

    assert words.main() == 1
    assert "anew (2 in docs/, 1 allowed)" in capsys.readouterr().err


def test_allowances_only_fall(monkeypatch, tmp_path):
    monkeypatch.setattr(words, "ALLOWED", tmp_path / "allowed.json")
    words.write(Counter({("anew", "docs"): 2, ("doors?", "sdk"): 3}))
    monkeypatch.setattr(words, "count", lambda: Counter({("anew", "docs"): 1, ("doors?", "sdk"): 5}))
    monkeypatch.setattr("sys.argv", ["words", "--lower"])

    words.main()

    assert words.allowed() == Counter({("anew", "docs"): 1, ("doors?", "sdk"): 3})
