"""Send the same requests to a server of Prefect 2 and to Orion, and print where the answers differ.

`python -m tests.compat.differences http://127.0.0.1:4200/api http://127.0.0.1:4300/api [--strict]`

Both are written to, so give it two that are fresh. Not a gate: some differences are meant
(docs/howto/from-prefect-2.md). Only an answer of ours over 499 is an error.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

from tests.compat.asked import CHANGED, FILTERED, MADE, Asked, transitions, with_odd_fields
from tests.compat.told import Server, differences

REFUSED = 400


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("theirs")
    parser.add_argument("ours")
    parser.add_argument("--strict", action="store_true", help="also tell where ours takes what theirs refuses")
    asked = parser.parse_args()
    run = f"cmp{uuid4().hex[:6]}"
    both = Server(asked.theirs, run), Server(asked.ours, run)
    counts: Counter[str] = Counter()
    for answer in (*answers(*both), *odd_fields(*both, strict=asked.strict), *judged(*both)):
        counts["asked"] += 1
        if answer:
            counts["different"] += 1
            print(answer)
        counts["broken"] += answer.startswith("BROKEN")
    print(f"{counts['asked']} asked, {counts['different']} answered differently, {counts['broken']} broken")
    return 1 if counts["broken"] else 0


def answers(theirs: Server, ours: Server) -> Iterator[str]:
    for asked in (*MADE, *CHANGED, *FILTERED):
        yield compared(theirs, ours, asked)


def odd_fields(theirs: Server, ours: Server, *, strict: bool) -> Iterator[str]:
    """Only whether each takes or refuses what is odd."""
    for good in (*CHANGED, *FILTERED):
        for place, asked in with_odd_fields(good):
            (a, _), (b, found) = theirs.ask(asked), ours.ask(asked)
            worse = b >= 500 or (a < REFUSED <= b) or (strict and b < REFUSED <= a)
            yield f"{_word(b)} {asked.call} {place}: {a}, ours {b} {str(found)[:200]}" if worse else ""


def judged(theirs: Server, ours: Server) -> Iterator[str]:
    for make, propose in transitions():
        for server in (theirs, ours):
            server.ask(make)
        yield compared(theirs, ours, propose, f"from {make.body['state']['type']} ")


def compared(theirs: Server, ours: Server, asked: Asked, note: str = "") -> str:
    (a, shown), (b, own) = theirs.ask(asked), ours.ask(asked)
    if a != b:
        return f"{_word(b)} {note}{asked.call} {asked.body}: {a}, ours {b} {str(own)[:200]}"
    found = differences(theirs.plain(shown), ours.plain(own)) if a < REFUSED else []
    return "\n    ".join([f"OTHER {note}{asked.call}", *found]) if found else ""


def _word(status: int) -> str:
    return "BROKEN" if status >= 500 else "OTHER"


if __name__ == "__main__":
    raise SystemExit(main())
