"""Times of a backfill on a page: the first ones and the last one, in the local time of their schedule."""

from __future__ import annotations

from collections.abc import Sequence

from django import template

from deployments.backfills.core.times import NamedTime
from deployments.pages.local_times import local_text

register = template.Library()

FIRST = 5


@register.filter
def first_and_last(times: Sequence[NamedTime]) -> list[NamedTime | None]:
    """Return the first times and the last one, with None for those between them."""
    return list(times) if len(times) <= FIRST + 2 else [*times[:FIRST], None, times[-1]]


@register.filter
def unshown(times: Sequence[NamedTime]) -> int:
    return max(len(times) - FIRST - 1, 0)


register.filter(local_text)
