"""Parts of names: both databases answer as plain Python does, in any letters."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from runs.lists.filters.patterns import has_part
from tests.factories import make_flow
from tests.rounds import examples

pytestmark = pytest.mark.django_db

LETTERS = "aAzZkåÅßΣσς運🚀İıK%_*?[]^-\\.($|{ \n"


def database_finds(text: str, part: str) -> bool:
    condition, patterns = has_part("CAST(%s AS text)", part, connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {condition}", [value for pattern in patterns for value in (text, pattern)])
        return bool(cursor.fetchone()[0])


def plainly(text: str, part: str) -> bool:
    """One letter of the pattern after the other, each with its own small and large form."""
    signs = {"%": "(?s:.*)", "_": "(?s:.)"}
    letters = (signs.get(one) or "|".join(map(re.escape, {one, one.lower(), one.upper()})) for one in part)
    return re.search("".join(f"(?:{one})" for one in letters if len(one) > 0), text) is not None


@examples(30, 3000)
@given(text=st.text(LETTERS, max_size=8), part=st.text(LETTERS, max_size=5))
def test_a_text_contains_a_part_if_its_letters_are_adjacent(text: str, part: str):
    # A letter whose other case is two letters has none here: no such pair is in the text by its two letters alone.
    assert database_finds(text, part) == plainly(text, part)


@pytest.mark.parametrize(
    ("name", "part"),
    [("Ölpreise", "öl"), ("ölpreise", "ÖLPREISE"), ("МОСКВА", "оскв"), ("straße", "STRAß"), ("été 1", "É_é%1")],
)
def test_flows_are_found_by_a_part_of_their_name_in_either_case(api, name: str, part: str):
    make_flow(name)

    assert api.send("/flows/count", {"flows": {"name": {"like_": part}}}).json() == 1
