"""Names that nobody could read are refused wherever a thing gets its name; names in every script are not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.names import fault_of

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
READABLE = {
    "Latin": "Zürich daily, v2.1 (old)",
    "decomposed": "Zu\u0308rich",
    "German": "Straße",
    "Vietnamese": "Tiếng Việt",
    "Arabic": "تقرير يومي",
    "Hebrew": "דוח יומי",
    "Persian": "می\u200cخواهم",
    "Hindi": "क्\u200dष",
    "Marathi": "र्\u200dय",
    "Bengali": "র\u200d্য",
    "Malayalam": "അവന്\u200d",
    "Sinhala": "ශ්\u200dරී",
    "Thai": "รายงาน",
    "Japanese": "日次　集計",
    "variants of ideographs": "葛\U000e0100城",
    "Mongolian": "ᠮᠣ\u180bᠩ",
    "Korean": "보고서",
    "a family": "👨\u200d👩\u200d👧",
    "a heart": "❤\ufe0f",
    "a heart on fire": "❤\ufe0f\u200d🔥",
    "a worker": "👩🏽\u200d💻",
    "a keycap": "1\ufe0f\u20e3",
    "flags": "🇫🇷 🏳\ufe0f\u200d🌈",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "Arabic year": "\u0601\u0661",
}
UNREADABLE = {
    "zero width": ("a\u200bb", "U+200B ZERO WIDTH SPACE"),
    "joiner in Latin": ("pay\u200droll", "U+200D ZERO WIDTH JOINER"),
    "non-joiner in Latin": ("pay\u200croll", "U+200C ZERO WIDTH NON-JOINER"),
    "joiner at the end": ("👨\u200d", "U+200D"),
    "turned around": ("a\u202eb", "U+202E RIGHT-TO-LEFT OVERRIDE"),
    "isolate": ("a\u2066b", "U+2066 LEFT-TO-RIGHT ISOLATE"),
    "mark of direction": ("a\u200fb", "U+200F RIGHT-TO-LEFT MARK"),
    "escape": ("a\x1bb", "U+001B, a control character"),
    "C1": ("a\x9bb", "U+009B, a control character"),
    "delete": ("a\x7fb", "U+007F, a control character"),
    "line": ("a\u2028b", "U+2028 LINE SEPARATOR"),
    "half": ("a\ud800b", "U+D800"),
    "byte order": ("\ufeffa", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    "soft hyphen": ("a\u00adb", "U+00AD SOFT HYPHEN"),
    "selector alone": ("\ufe0f", "U+FE0F VARIATION SELECTOR-16"),
    "two selectors": ("a\ufe0f\ufe0f", "U+FE0F"),
    "tags": ("a\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A"),
    "an endless flag": ("🏴\U000e0067\U000e0062", "U+E0067"),
    "filler": ("a\u3164b", "U+3164 HANGUL FILLER"),
    "braille": ("\u2800", "U+2800 BRAILLE PATTERN BLANK"),
    "no-break space": ("a\u00a0b", "U+00A0 NO-BREAK SPACE"),
    "before": (" a", "begin or end with a space"),
    "after": ("a ", "begin or end with a space"),
    "only spaces": ("   ", "begin or end with a space"),
    "line break after": ("a\n", "begin or end with a space"),
    "a mark alone": ("\u0301", "begin with U+0301 COMBINING ACUTE ACCENT"),
}


@pytest.mark.parametrize("name", READABLE.values(), ids=READABLE)
def test_names_as_people_write_them(name: str):
    assert fault_of(name) is None


@pytest.mark.parametrize(("name", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_names_that_nobody_can_read(name: str, said: str):
    fault = fault_of(name)

    assert fault is not None
    assert said in fault
    assert fault.isprintable()


@given(st.text(st.characters(codec=None), min_size=1))
def test_a_name_that_passes_shows_something_and_breaks_no_line(name: str):
    if fault_of(name) is None:
        categories = {unicodedata.category(letter) for letter in name}
        assert categories - {"Zs", "Cf", "Mn", "Mc", "Me"}
        assert not categories & {"Cc", "Cs", "Zl", "Zp"}
        assert not {unicodedata.bidirectional(letter) for letter in name} & TURNS


@given(st.text(st.characters(categories=["L", "N", "P", "S"], max_codepoint=0x2FF), min_size=1))
def test_letters_digits_and_signs_pass(name: str):
    assert fault_of(name.replace("\u2800", "-")) is None
