"""One line under "Needs you", and the words and addresses of the runs that it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse

# An address lists at most this many ids.
MOST_NAMED = 200


@dataclass(frozen=True, slots=True)
class Need:
    """One line. `address`, if any, leads to exactly the runs that it counts; a button retries the one run `retry`."""

    cause: str
    extent: str
    address: str
    look: str
    state_type: str
    # A time, and the label before it, such as "first failed".
    since: datetime | None = None
    event: str = ""
    detail: str = ""
    detail_address: str = ""
    cause_address: str = ""
    retry: UUID | None = None
    command: str = ""
    fix: str = ""
    action: str = ""
    action_address: str = ""
    # The runs that it counts, if it counts runs.
    runs: Sequence[UUID] = ()


def runs_at(**query: str | Sequence[str]) -> str:
    return f"{reverse('runs:runs')}?{urlencode(query, doseq=True)}"


def runs_in_words(number: int, *, is_cut: bool = False) -> str:
    return "1 run" if number == 1 and not is_cut else f"{number:,}{'+' if is_cut else ''} runs"
