"""The check of prose reads what people read, and leaves code alone."""

from __future__ import annotations

import pytest

from tests import prose


@pytest.mark.parametrize("text", ["In order to start, wait.", "Please wait.", "It goes on.", "The service ails."])
def test_words_of_the_list_are_found(text: str):
    assert list(prose.terms_in(text))


@pytest.mark.parametrize("text", ["`simply` is an option.", "```text\njust\n```\n"])
def test_code_is_not_prose(text: str):
    assert not list(prose.terms_in(prose.blanked(text, prose._BLOCK, prose._CODE)))


def test_a_sentence_that_is_too_long_is_found_in_paragraphs_and_lists_but_not_in_tables():
    long = " ".join(["word"] * 50)

    assert len(list(prose.long_sentences(f"{long}.\n\n- {long}.\n\n1. {long}.\n\n| {long} |\n"))) == 3


def test_two_items_of_a_list_are_two_sentences():
    half = " ".join(["word"] * 30)

    assert not list(prose.long_sentences(f"- {half}\n- {half}\n"))


def test_words_of_pages_are_read_without_tags_and_code():
    text = "<p class='just'>{% if please %}Start it{% endif %}</p><pre>simply</pre>"

    assert not list(prose.terms_in(prose.blanked(text, prose._TAG)))
