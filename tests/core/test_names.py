"""Names that nobody could read are refused wherever a thing gets its name; names in every script are not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionflow.contract.names import deception_in, fault_of

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
    "a head that shakes": "🙂\u200d↔\ufe0f",
    "a broken chain": "⛓\ufe0f\u200d💥",
    "signs as emoji": "‼\ufe0f ℹ\ufe0f ©\ufe0f ↔\ufe0f #\ufe0f\u20e3",
    "a vowel apart in Mongolian": "ᠮᠠᠩᠭ\u180eᠠ",
    "an ending in Mongolian": "ᠬᠡᠯᠡ\u202fᠶᠢᠨ",
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
    "selector in Latin": ("pay\ufe0froll", "U+FE0F VARIATION SELECTOR-16"),
    "variant of a Latin letter": ("pay\U000e0100roll", "U+E0100 VARIATION SELECTOR-17"),
    "variant of a symbol": ("★\U000e0100", "U+E0100"),
    "selector after a space": ("pay \ufe0froll", "U+FE0F"),
    "stars that are joined": ("★\u200d★", "U+200D"),
    "Mongolian vowel separator in Latin": ("pay\u180eroll", "U+180E MONGOLIAN VOWEL SEPARATOR"),
    "narrow space in Latin": ("pay\u202froll", "U+202F NARROW NO-BREAK SPACE"),
    "a mark alone": ("\u0301", "begin with U+0301 COMBINING ACUTE ACCENT"),
}
# Unicode's DerivedCoreProperties.txt, Default_Ignorable_Code_Point.
IGNORABLE = [
    *(range(0xAD, 0xAE), range(0x34F, 0x350), range(0x61C, 0x61D), range(0x115F, 0x1161), range(0x17B4, 0x17B6)),
    *(range(0x180B, 0x1810), range(0x200B, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2070)),
    *(range(0x3164, 0x3165), range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00), range(0xFFA0, 0xFFA1)),
    *(range(0xFFF0, 0xFFF9), range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000)),
]


@pytest.mark.parametrize("name", READABLE.values(), ids=READABLE)
def test_names_as_people_write_them(name: str):
    assert fault_of(name) is None


@pytest.mark.parametrize(("name", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_names_are_found(name: str, expected: str):
    fault = fault_of(name)

    assert fault is not None
    assert expected in fault
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


def test_no_character_that_is_drawn_as_nothing_passes_in_a_latin_word():
    points = [point for span in IGNORABLE for point in span]

    passed = [hex(point) for point in points if fault_of(f"pay{chr(point)}roll") is None]

    assert len(points) == 4174
    assert passed == []
    assert [hex(point) for point in points if deception_in(f"pay{chr(point)}roll") is None] == []


@pytest.mark.parametrize("name", [" pay", "pay ", "pay\u00a0roll", "pay\u2009roll", "\u0301pay", "pay"], ids=ascii)
def test_spaces_and_invisible_marks_are_found(name: str):
    assert deception_in(name) is None


@given(st.text(st.characters(codec=None), min_size=1))
def test_a_name_that_deceives_is_not_readable_either(name: str):
    if deception_in(name):
        assert fault_of(name)
