"""Search for runs by a part of their name, using the distinct names.

Names consist of two words, or of a task's name and a number; a million runs may have a few thousand of them. Each takes
one step in the index of names, so all can be compared without reading the runs.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import connection
from django.db.models import Q

from orchestration.reading import reader
from runs.lists.filters.patterns import has_part

# With more distinct names than this, the name of each run is compared.
MOST_NAMES = 10_000
MOST_CHOSEN = 500
# Up to this number of runs, all runs with matching names are read. With more, each run of the list is checked instead.
FEW = 5_000
# How long a table is remembered to have too many names.
REMEMBERED_SECONDS = 600.0

# Walks from each name to the next one in the index. The last row shows whether there are more names than the limit.
_WALK = (
    "WITH RECURSIVE walked(name, number) AS ("
    "SELECT (SELECT MIN(name) FROM {table}), 1 "
    "UNION ALL SELECT (SELECT r.name FROM {table} r WHERE r.name > walked.name ORDER BY r.name LIMIT 1), number + 1 "
    "FROM walked WHERE walked.name IS NOT NULL AND number <= {most}) "
    "SELECT name, number FROM walked WHERE name IS NOT NULL AND (number > {most} OR {has_part}) LIMIT {chosen}"
)


def has_part_in_name(runs: type[Any], part: str) -> Q:
    """Return the condition for runs with this part in their name, in the form that is cheapest for their number."""
    names = _names_with(runs, part)
    if names == []:
        return Q(pk__in=[])
    chosen = Q(name__in=names)
    if names is None or runs._default_manager.filter(chosen).order_by()[FEW : FEW + 1].exists():
        return Q(name__orion_like=part)
    return chosen


# By database, table and limit: until when the table counts as having more names than that.
_has_many: dict[tuple[str, str, int], float] = {}


def _names_with(runs: type[Any], part: str) -> list[str] | None:
    """Return the names that contain `part`; None if there are too many names, or too many that match."""
    whose = (str(connection.settings_dict["NAME"]), runs._meta.db_table, MOST_NAMES)
    if time.monotonic() < _has_many.get(whose, 0.0):
        return None
    condition, patterns = has_part("name", part, connection.vendor)
    walk = _WALK.format(table=runs._meta.db_table, most=MOST_NAMES, has_part=condition, chosen=MOST_CHOSEN + 1)
    with reader().cursor() as cursor:
        cursor.execute(walk, patterns)
        found = cursor.fetchall()
    if any(number > MOST_NAMES for _, number in found):
        _has_many[whose] = time.monotonic() + REMEMBERED_SECONDS
        return None
    if len(found) > MOST_CHOSEN:
        return None
    return [name for name, _ in found]
