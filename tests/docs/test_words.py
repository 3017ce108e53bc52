"""The check of struck words reads identifiers and prose alike."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".py", "def _say_later(): ..."),
        (".py", "class LogWish: ..."),
        (".py", "told, self.heard_at = f()"),
        (".py", "def f(*, is_said): ..."),
        (".html", "{% with told=trail|spoke %}"),
        (".html", "{% for rule, said in trail %}"),
        (".html", '{% include "a.html" with wish=form only %}'),
        (".js", "const said = 1"),
    ],
)
def test_some_words_are_struck_in_names_only(suffix, text):
    assert list(words.struck_names(text, suffix))


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".py", '"""What the rules said."""\nfile.tell()\n# told'),
        (".py", "def test_a_page_says_so(): ..."),
        (".py", "class SayHello: ..."),
        (".html", '<p class="told {% if x %}">said {{ told }}</p>'),
        (".md", "told = 1"),
    ],
)
def test_sentences_may_say_them(suffix, text):
    assert not list(words.struck_names(text, suffix))


def test_a_struck_word_fails_and_is_named_with_its_file(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("Planned anew,\nand anew.")
    monkeypatch.setattr(words, "ROOT", tmp_path)
    monkeypatch.setattr(words, "files", lambda: [page])

    assert words.main() == 1
    assert "page.md: struck: anew (2)" in capsys.readouterr().err
