"""The leaves of the filter language. Each knows the condition that it puts on a column."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import reduce
from operator import and_, or_
from typing import Annotated, Any, ClassVar
from uuid import UUID

from django.db.models import Q
from pydantic import Field

from orchestration.core.states import StateType
from orionflow.contract.wire import Moment, StrictWire, Text255, Text1024
from runs.lists.filters import lookups  # noqa: F401  (registers them)

ALWAYS = Q()
# Longer lists belong into several requests: SQLite binds 32,766 values in one statement, all lists together.
MOST_VALUES = 1000


class Operator(StrEnum):
    """How the conditions of one filter are combined."""

    and_ = "and_"
    or_ = "or_"


def combined(operator: Operator, conditions: Iterable[Q]) -> Q:
    """One condition of many. An empty one is always true: no more is asked with "and", nothing with "or"."""
    parts = list(conditions)
    if operator is Operator.and_:
        return reduce(and_, parts, ALWAYS)
    return ALWAYS if not all(parts) else reduce(or_, parts, ALWAYS)


class Leaf(StrictWire):
    """Conditions on one column. All operators that are given must hold."""

    def on(self, column: str) -> Q:
        return combined(getattr(self, "operator", Operator.and_), self.conditions(column))

    def conditions(self, column: str) -> Iterable[Q]:
        """One condition for each operator that was given."""
        for name in self.model_fields_set - {"operator"}:
            value = getattr(self, name)
            if value is not None:
                yield CONDITIONS[name](column, value)


CONDITIONS: dict[str, Any] = {
    "any_": lambda column, values: Q(**{f"{column}__in": values}),
    # As in SQL, a row without a value is not told to differ.
    "not_any_": lambda column, values: Q(**{f"{column}__isnull": False}) & ~Q(**{f"{column}__in": values}),
    "like_": lambda column, text: Q(**{f"{column}__orion_like": text}),
    "is_null_": lambda column, wanted: Q(**{f"{column}__isnull": wanted}),
    "exists_": lambda column, wanted: Q(**{f"{column}__isnull": not wanted}),
    "before_": lambda column, moment: Q(**{f"{column}__lte": moment}),
    "after_": lambda column, moment: Q(**{f"{column}__gte": moment}),
    "ge_": lambda column, least: Q(**{f"{column}__gte": least}),
    "le_": lambda column, most: Q(**{f"{column}__lte": most}),
    "eq_": lambda column, value: Q(**{column: value}),
    "startswith_": lambda column, digits: ids_between(column, digits.ljust(32, "0"), digits.ljust(32, "f")),
}


def ids_between(column: str, first: str, last: str) -> Q:
    """The beginning of an id is a range of ids, which the primary key answers on both databases."""
    return Q(**{f"{column}__gte": UUID(first), f"{column}__lte": UUID(last)})


Texts = Annotated[list[Text1024], Field(max_length=MOST_VALUES)]
Ids = Annotated[list[UUID], Field(max_length=MOST_VALUES)]
Pattern = Annotated[str, Field(max_length=255)]


class AnyId(Leaf):
    any_: Ids | None = None


class AnyIdOrNot(AnyId):
    not_any_: Ids | None = None


class RunId(AnyIdOrNot):
    """Our own addition: people type the beginning of an id, hexadecimal digits without hyphens."""

    startswith_: Annotated[str, Field(pattern="^[0-9a-f]{1,32}$")] | None = None


class AnyIdOrNull(AnyId):
    operator: Operator = Operator.and_
    is_null_: bool | None = None


class AnyText(Leaf):
    any_: Texts | None = None


class AnyTextOrNot(AnyText):
    not_any_: Texts | None = None


class AnyTextOrNull(AnyText):
    operator: Operator = Operator.and_
    is_null_: bool | None = None


class NameMatch(AnyText):
    like_: Pattern | None = None


class KeyMatch(NameMatch):
    exists_: bool | None = None


class MomentRange(Leaf):
    before_: Moment | None = None
    after_: Moment | None = None


class MomentRangeOrNull(MomentRange):
    is_null_: bool | None = None


class YesOrNo(Leaf):
    eq_: bool | None = None


class TagsMatch(Leaf):
    operator: Operator = Operator.and_
    all_: Annotated[list[Text255], Field(max_length=1000)] | None = None
    is_null_: bool | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.all_ is not None:
            # Every list holds all of nothing.
            yield Q(**{f"{column}__orion_holds_all": self.all_}) if self.all_ else ALWAYS
        if self.is_null_ is not None:
            yield Q(**{f"{column}__orion_is_empty": self.is_null_})


class AnyStateType(Leaf):
    any_: Annotated[list[StateType], Field(max_length=MOST_VALUES)] | None = None


class StateMatch(Leaf):
    """The current state, by type and by name."""

    operator: Operator = Operator.and_
    type: AnyStateType | None = None
    name: AnyText | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.type is not None:
            yield self.type.on("state_type")
        if self.name is not None:
            yield self.name.on("state_name")


class Filter(StrictWire):
    """Conditions on one kind of row."""

    columns: ClassVar[dict[str, str]] = {}
    """The columns that do not have the name of their field."""

    operator: Operator = Operator.and_

    def condition(self) -> Q:
        return combined(self.operator, self.conditions())

    def conditions(self) -> Iterable[Q]:
        for name in type(self).model_fields:
            leaf = getattr(self, name)
            if isinstance(leaf, Leaf):
                yield self.condition_on(name, leaf)

    def condition_on(self, field: str, leaf: Any) -> Q:
        condition: Q = leaf.on(self.columns.get(field, field))
        return condition


def matched(filter: Filter | None) -> Q:
    """The condition of a filter that may be absent."""
    return filter.condition() if filter is not None else ALWAYS
