"""Which rows somebody sees who has rights on some objects only. A leaf: entrances set it, who writes looks past it.

Nothing is set for whoever may see everything. Each app says in its module `belongings` how the rows of its tables
belong to deployments, tags, work pools and work queues; what nobody declares is seen by nobody with such rights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import UUID

from orchestration.errors import BeyondRights
from orchestration.tables import fetch

Id = TypeVar("Id", UUID, UUID | None)


@dataclass(frozen=True, slots=True)
class Reach:
    """The objects that somebody's rights name at the moment, as SQL: lists of constants in parentheses."""

    schema: str
    is_sqlite: bool
    runs: str
    # Runs by which others were started, as texts.
    starters: str
    deployments: str
    tags: str
    # Work pools and queues that are named, or belong to a pool that is.
    pools: str
    queues: str
    # With what these use, for reading.
    deployments_seen: str
    pools_seen: str
    queues_seen: str
    # Names of resources in events: prefect.deployment.…
    resources: str = field(repr=False, default="(NULL)")

    def table(self, name: str) -> str:
        """The table itself: the bare name stands for those of its rows that are seen."""
        return f'{self.schema}."{name}"'


# The condition on a row that has this alias.
Condition = Callable[[Reach, str], str]


def everything(reach: Reach, row: str) -> str:
    """Rows that say nothing about anybody's objects."""
    return "1 = 1"


def nothing(reach: Reach, row: str) -> str:
    """Rows that belong to no object, so that rights on objects show none of them."""
    return "1 = 0"


# What names of objects stand for, by their kind; set by the app that has them.
reaching: list[Callable[..., Reach]] = []
# What several deployments may share: rights on one of them are not enough to change it.
shared_tables: set[str] = set()
# The condition of each table; and for addresses, up to their first id or name, the table and column where that stands.
belongings: dict[str, Condition] = {}
addressed: dict[str, tuple[str, str]] = {}


class Sight(Protocol):
    """Somebody's rights on some objects."""

    @property
    def reach(self) -> Reach:
        """The objects that they name at the moment."""

    def only_seen(self, sql: str, *, has_params: bool) -> str:
        """The statement, whose tables have only the rows that are seen."""


current_sight: ContextVar[Sight | None] = ContextVar("current_sight", default=None)
# That of whoever asks, also while rules look past it.
_of_asker: ContextVar[Sight | None] = ContextVar("sight_of_asker", default=None)


def show(sight: Sight | None) -> None:
    """From here on these rows are seen, in this thread or task."""
    current_sight.set(sight)
    _of_asker.set(sight)


def acts_in_part() -> bool:
    """Whether whoever asks may change some objects only."""
    return _of_asker.get() is not None


def sees_in_part() -> bool:
    """Whether whoever asks sees some rows only, so that no total of all of them may be shown."""
    return current_sight.get() is not None


@contextmanager
def seeing(sight: Sight | None) -> Iterator[None]:
    """Within it these rows are seen; all of them with None, as rules must that count what holds a place."""
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
    """Refuse what is about other rows than those that are seen. Raises BeyondRights."""
    for table, ids in by_table(rows).items():
        if None in ids:
            raise BeyondRights(what="a report that names no run")
        if len(_found(table, ids)) < len(ids):
            raise BeyondRights(what="a report about other runs")


def refuse_others(rows: Iterable[tuple[str, UUID | None]]) -> None:
    """Refuse rows that are there and not seen; those that are not there yet are nobody's. Raises BeyondRights."""
    for table, ids in by_table(rows).items():
        with seeing(None):
            there = _found(table, ids)
        if len(_found(table, ids)) < len(there):
            raise BeyondRights(what="what names other runs")


def by_table(rows: Iterable[tuple[str, Id]]) -> defaultdict[str, set[Id]]:
    """The ids of rows, by their tables."""
    named: defaultdict[str, set[Id]] = defaultdict(set)
    for table, one in rows:
        named[table].add(one)
    return named


def _found(table: str, ids: Iterable[UUID | None]) -> list[Any]:
    return fetch(f'SELECT id FROM "{table}" WHERE id IN ', [one for one in ids if one is not None])


def constants(values: Iterable[Any]) -> str:
    """A list of texts in SQL. An empty one holds nothing."""
    return f"({', '.join(sorted(quoted(str(value)) for value in values)) or 'NULL'})"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
