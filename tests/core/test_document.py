"""The rules reference in the documentation is what the rules say today."""

from __future__ import annotations

from orchestration.core.document import POLICIES, document


def test_every_rule_is_documented():
    page = document()

    for _, _, policy in POLICIES:
        for rule in policy:
            assert f"| `{type(rule).__name__}` |" in page
            assert type(rule).__doc__
