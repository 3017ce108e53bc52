"""Runs by a part of their name: of a million runs a few thousand have names of their own.

Names are made of two words, or of a task's name and a number. Each is one step in the index of names, so that the parts
of all are compared without looking at runs.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import connection
from django.db.models import Q

from orchestration.reading import reader

# With more names than these the names of runs are compared one by one.
MOST_NAMES = 10_000
MOST_CHOSEN = 500
# So many runs are taken by their names; of more, whether one has such a name is asked in the order of the list.
FEW = 5_000
# A table that had too many names is not walked through again for so long.
REMEMBERED_SECONDS = 600.0

# From each name to the next one in the index. The last row says whether there are more than were looked at.
_WALK = (
    "WITH RECURSIVE walked(name, number) AS ("
    "SELECT (SELECT MIN(name) FROM {table}), 1 "
    "UNION ALL SELECT (SELECT r.name FROM {table} r WHERE r.name > walked.name ORDER BY r.name LIMIT 1), number + 1 "
    "FROM walked WHERE walked.name IS NOT NULL AND number <= {most}) "
    "SELECT name, number FROM walked WHERE name IS NOT NULL AND (number > {most} OR name {like}) LIMIT {chosen}"
)
# As `orion_like` has it.
_LIKE = {"sqlite": "LIKE %s", "postgresql": "ILIKE %s ESCAPE ''"}


def has_part_in_name(runs: type[Any], part: str) -> Q:
    """The runs with this part in their name, in the way that is cheapest for as many as there are."""
    names = _names_with(runs, part)
    if names == []:
        return Q(pk__in=[])
    chosen = Q(name__in=names)
    if names is None or runs._default_manager.filter(chosen).order_by()[FEW : FEW + 1].exists():
        return Q(name__orion_like=part)
    return chosen


# By database, table and number, until when there are known to be more names than that.
_has_many: dict[tuple[str, str, int], float] = {}


def _names_with(runs: type[Any], part: str) -> list[str] | None:
    """The names that have the part; None where there are too many names to look at, or with the part."""
    whose = (str(connection.settings_dict["NAME"]), runs._meta.db_table, MOST_NAMES)
    if time.monotonic() < _has_many.get(whose, 0.0):
        return None
    walk = _WALK.format(
        table=runs._meta.db_table, most=MOST_NAMES, like=_LIKE[connection.vendor], chosen=MOST_CHOSEN + 1
    )
    with reader().cursor() as cursor:
        cursor.execute(walk, [f"%{part}%"])
        found = cursor.fetchall()
    if any(number > MOST_NAMES for _, number in found):
        _has_many[whose] = time.monotonic() + REMEMBERED_SECONDS
        return None
    if len(found) > MOST_CHOSEN:
        return None
    return [name for name, _ in found]
