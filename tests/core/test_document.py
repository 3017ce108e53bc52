"""The rules reference in the documentation is what the rules say today."""

from __future__ import annotations

from pathlib import Path

from orchestration.core.document import POLICIES, document

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "rules.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == document(), "run `make pages`"


def test_every_rule_says_what_it_means():
    page = document()

    for _, _, policy in POLICIES:
        for rule in policy:
            assert f"| `{type(rule).__name__}` |" in page
            assert type(rule).__doc__
