"""The leaves of the filter language: each is a condition on one column."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from functools import reduce
from operator import and_, or_
from typing import Annotated, Any, ClassVar
from uuid import UUID

from django.db.models import Exists, Model, OuterRef, Q
from pydantic import Field

from orchestration.core.states import StateType
from orionflow.contract.states import UNFINISHED
from orionflow.contract.wire import Moment, StrictWire, Text255, Text1024
from runs.lists.filters import lookups  # noqa: F401  (registers them)
from runs.lists.filters.names import has_part_in_name
from runs.querysets import BAD_TYPES, COMMON_NAMES, has_ended_badly, is_in_rare_state, is_open

ALWAYS = Q()
# Longer lists need several requests: SQLite binds at most 32,766 values in one statement, for all lists together.
MOST_VALUES = 1000
# Up to this number of runs, all runs of a tag are read. With more, each run of the list is checked for the tag instead.
FEW = 5000
MOST_TAGS_ASKED_FOR = 3


class Operator(StrEnum):
    """How the conditions of one filter are combined."""

    and_ = "and_"
    or_ = "or_"


def combined(operator: Operator, conditions: Iterable[Q]) -> Q:
    """Combine conditions into one. An empty one is always true: `and_` ignores it, `or_` then requires nothing."""
    parts = list(conditions)
    if operator is Operator.and_:
        return reduce(and_, parts, ALWAYS)
    return ALWAYS if not all(parts) else reduce(or_, parts, ALWAYS)


class Leaf(StrictWire):
    """Conditions on one column. All operators that are given must hold."""

    def on(self, column: str) -> Q:
        return combined(getattr(self, "operator", Operator.and_), self.conditions(column))

    def conditions(self, column: str) -> Iterable[Q]:
        """Yield one condition for each operator that was given."""
        for name in self.model_fields_set - {"operator"}:
            value = getattr(self, name)
            if value is not None:
                yield CONDITIONS[name](column, value)


CONDITIONS: dict[str, Any] = {
    "any_": lambda column, values: Q(**{f"{column}__in": values}),
    # As in SQL, a row without a value does not match.
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
    """Return the condition for ids with a common prefix: a range, for which both databases use the primary key."""
    return Q(**{f"{column}__gte": UUID(first), f"{column}__lte": UUID(last)})


Texts = Annotated[list[Text1024], Field(max_length=MOST_VALUES)]
Ids = Annotated[list[UUID], Field(max_length=MOST_VALUES)]
Pattern = Annotated[str, Field(max_length=255)]


class AnyId(Leaf):
    any_: Ids | None = None


class AnyIdOrNot(AnyId):
    not_any_: Ids | None = None


class RunId(AnyIdOrNot):
    """An addition of Orion: users type the first characters of an id, hexadecimal digits without hyphens."""

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


class RunNameMatch(NameMatch):
    """Matches names of runs, of which there are many, and many alike."""

    def on_runs(self, runs: type[Model]) -> Q:
        named = Q(name__in=self.any_) if self.any_ is not None else ALWAYS
        return named & (has_part_in_name(runs, self.like_) if self.like_ is not None else ALWAYS)


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
            # Every list contains all elements of an empty list.
            yield Q(**{f"{column}__orion_holds_all": self.all_}) if self.all_ else ALWAYS
        if self.is_null_ is not None:
            yield Q(**{f"{column}__orion_is_empty": self.is_null_})


class RunTagsMatch(TagsMatch):
    """Matches tags of runs, which are also stored as rows."""

    @property
    def required(self) -> list[str]:
        """Return the tags that every match must have."""
        return sorted(set(self.all_ or ())) if self.operator is Operator.and_ or self.is_null_ is None else []

    def on_runs(self, rows: type[Model]) -> Q:
        return combined(self.operator, self.conditions_on_runs(rows))

    def conditions_on_runs(self, rows: type[Model]) -> Iterable[Q]:
        if self.all_ is not None:
            tags = sorted(set(self.all_))
            # Counting how common a tag is takes a query, and a database accepts only so many conditions: the first tags
            # select the runs, and the others are compared with what the runs have.
            asked = [has_tag(rows, tag) for tag in tags[:MOST_TAGS_ASKED_FOR]]
            more = [Q(tags__orion_holds_all=tags[MOST_TAGS_ASKED_FOR:])] if len(tags) > MOST_TAGS_ASKED_FOR else []
            yield combined(Operator.and_, [*asked, *more])
        if self.is_null_ is not None:
            yield Q(tags__orion_is_empty=self.is_null_)


def has_tag(rows: type[Model], tag: str) -> Q:
    """Return the condition for runs with the tag, using the rows of tags.

    The runs of a rare tag are read from there. With a common tag, each run of the list is checked for the tag, in
    order.
    """
    return of_rare_tag(rows, tag) or is_tagged(rows, tag)


def of_rare_tag(rows: type[Model], tag: str) -> Q | None:
    """Return the condition that reads the runs of a tag; None if many runs have the tag. One query."""
    of_tag = rows._default_manager.filter(tag=tag).order_by()
    return None if of_tag[FEW : FEW + 1].exists() else Q(pk__in=of_tag.values("run_id"))


def is_tagged(rows: type[Model], tag: str) -> Q:
    return Q(Exists(rows._default_manager.filter(tag=tag, run=OuterRef("pk"))))


def is_tagged_with_all(rows: type[Model], tags: Sequence[str]) -> Q:
    """Return the condition for runs that have all these tags, of which only the first are looked for among the rows."""
    asked = [is_tagged(rows, tag) for tag in tags[:MOST_TAGS_ASKED_FOR]]
    more = [Q(tags__orion_holds_all=tags[MOST_TAGS_ASKED_FOR:])] if len(tags) > MOST_TAGS_ASKED_FOR else []
    return combined(Operator.and_, [*asked, *more])


def is_tagged_with_any(rows: type[Model], tags: Collection[str]) -> Q:
    """Return the condition for runs that have one of the tags. One condition, because databases accept only so many."""
    return Q(Exists(rows._default_manager.filter(tag__in=tags, run=OuterRef("pk"))))


class AnyStateType(Leaf):
    any_: Annotated[list[StateType], Field(max_length=MOST_VALUES)] | None = None


class StateMatch(Leaf):
    """Matches the current state, by type and by name.

    If all the states in question are rare, the condition of the partial index for such states is added.
    """

    operator: Operator = Operator.and_
    type: AnyStateType | None = None
    name: AnyText | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.type is not None:
            yield self.type.on("state_type") & _among_few(self.type.any_ or [])
        if self.name is not None:
            yield self.name.on("state_name") & (
                is_in_rare_state() if self.name.any_ and not set(self.name.any_) & set(COMMON_NAMES) else ALWAYS
            )


def _among_few(types: Sequence[StateType]) -> Q:
    if types and UNFINISHED.issuperset(types):
        return is_open()
    return has_ended_badly() if types and set(BAD_TYPES).issuperset(types) else ALWAYS


class Filter(StrictWire):
    """Conditions on one kind of row."""

    columns: ClassVar[dict[str, str]] = {}
    """Columns whose name differs from that of the field."""

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
    """Return the condition of a filter, which may be absent."""
    return filter.condition() if filter is not None else ALWAYS
