"""Which rows a user sees who has rights on some objects only. A leaf: entrances set the sight, and writers bypass it.

No sight is set for a user who may see everything. Each app declares in its module `belongings` how the rows of its
tables belong to deployments, tags, work pools and work queues. Rows of other tables are invisible to such users.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from orchestration.errors import BeyondRights
from orchestration.tables import dialect, fetch

Id = TypeVar("Id", UUID, UUID | None)


@dataclass(frozen=True, slots=True)
class Reach:
    """The objects that a user's rights name at the moment, as SQL: lists of constants in parentheses."""

    schema: str
    is_sqlite: bool
    runs: str
    # Runs that started other runs, as text.
    starters: str
    deployments: str
    tags: str
    # Work pools that are named; queues that are named or belong to a named pool.
    pools: str
    queues: str
    # For reading: together with the objects that these use.
    deployments_seen: str
    pools_seen: str
    queues_seen: str
    # Names of resources in events: prefect.deployment.…
    resources: str = field(repr=False, default="(NULL)")

    def table(self, name: str) -> str:
        """Return the name of the table itself. The bare name stands for the visible rows of it."""
        return f'{self.schema}."{name}"'


# Returns the SQL condition for a row with this alias.
Condition = Callable[[Reach, str], str]


def everything(reach: Reach, row: str) -> str:
    """Show rows that reveal nothing about objects of users."""
    return "1 = 1"


def nothing(reach: Reach, row: str) -> str:
    """Hide rows that belong to no object, so that rights on objects show none of them."""
    return "1 = 0"


# Resolves named objects to a Reach. Registered by the app that has the objects.
reaching: list[Callable[..., Reach]] = []
# Tables whose rows several deployments may share: rights on one deployment are not enough to change such a row.
shared_tables: set[str] = set()
# The condition of each table; and, for each prefix of addresses up to the first id or name, its table and column.
belongings: dict[str, Condition] = {}
addressed: dict[str, tuple[str, str]] = {}


class Sight(Protocol):
    """A user's rights on some objects."""

    @property
    def reach(self) -> Reach:
        """Return the objects that the rights name at the moment."""

    @property
    def of_results(self) -> Sight | None:
        """Return the sight of the task runs whose cached results may be reused; None for all task runs."""

    def only_seen(self, sql: str, *, has_params: bool) -> str:
        """Return the statement with its tables reduced to the visible rows."""


current_sight: ContextVar[Sight | None] = ContextVar("current_sight", default=None)
# The sight of the user who sent the request, also while rules bypass it.
_of_asker: ContextVar[Sight | None] = ContextVar("sight_of_asker", default=None)


def show(sight: Sight | None) -> None:
    """Set the sight from here on, in this thread or task."""
    current_sight.set(sight)
    _of_asker.set(sight)


def acts_in_part() -> bool:
    """Whether the user may change some objects only."""
    return _of_asker.get() is not None


def sees_in_part() -> bool:
    """Whether the user sees some rows only, so that totals of all rows must not be shown."""
    return current_sight.get() is not None


@contextmanager
def seeing(sight: Sight | None) -> Iterator[None]:
    """Set the sight in the block. With None all rows are visible, as rules need it to count all holders of slots."""
    token = current_sight.set(sight)
    try:
        yield
    finally:
        current_sight.reset(token)


@contextmanager
def seeing_all_within(transaction: AbstractContextManager[None]) -> Iterator[None]:
    with seeing(None), transaction:
        yield


def refuse_unseen(rows: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse a report about rows that the user does not see. Raises BeyondRights."""
    for table, ids in by_table(rows).items():
        if None in ids:
            raise BeyondRights(what="a report that names no run")
        if len(_found(table, ids)) < len(ids):
            raise BeyondRights(what="a report about other runs")


def refuse_others(rows: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse rows that exist but are not visible. Rows that do not exist yet are allowed. Raises BeyondRights."""
    for table, ids in by_table(rows).items():
        with seeing(None):
            there = _found(table, ids)
        if len(_found(table, ids)) < len(there):
            raise BeyondRights(what="what names other runs")


def reusable(task_runs: Collection[UUID]) -> Collection[UUID]:
    """Return those of the task runs whose results the sender of the request may reuse, also while rules bypass sights.

    Costs queries only for senders who see a part, and only if there are results.
    """
    asker = _of_asker.get()
    if asker is None or not task_runs or (sight := asker.of_results) is None:
        return task_runs
    with seeing(sight):
        return {dialect().read_uuid(one) for (one,) in _found("runs_taskrun", task_runs)}


def by_table(rows: Iterable[tuple[str, Id]]) -> defaultdict[str, set[Id]]:
    """Return the ids of rows by table."""
    named: defaultdict[str, set[Id]] = defaultdict(set)
    for table, one in rows:
        named[table].add(one)
    return named


def _found(table: str, ids: Iterable[UUID | None]) -> list[Any]:
    return fetch(f'SELECT id FROM "{table}" WHERE id IN ', [one for one in ids if one is not None])


def constants(values: Iterable[Any]) -> str:
    """Return a list of SQL string literals in parentheses. An empty one matches nothing."""
    return f"({', '.join(sorted(quoted(str(value)) for value in values)) or 'NULL'})"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
