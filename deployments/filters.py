"""Filters and orders for variables, blocks, calendars and backfills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar

from django.db.models import Exists, OuterRef, Q
from pydantic import Field

from deployments.models import BlockSchema
from orionflow.contract.wire import Text255
from runs.lists.filters.conditions import AnyId, AnyText, Filter, Leaf, NameMatch, Pattern, TagsMatch, YesOrNo, matched


class VariableFilter(Filter):
    id: AnyId | None = None
    name: NameMatch | None = None
    value: NameMatch | None = None
    tags: TagsMatch | None = None


class VariableSort(StrEnum):
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"


class CalendarFilter(Filter):
    id: AnyId | None = None
    name: NameMatch | None = None


class BackfillFilter(Filter):
    id: AnyId | None = None
    name: NameMatch | None = None
    deployment_id: AnyId | None = None
    status: AnyText | None = None


class Like(Leaf):
    like_: Pattern | None = None


class Capabilities(Leaf):
    all_: Annotated[list[Text255], Field(max_length=1000)] | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.all_:
            yield Q(**{f"{column}__orion_holds_all": self.all_})


class BlockTypeFilter(Filter):
    name: Like | None = None
    slug: AnyText | None = None


class BlockSchemaFilter(Filter):
    columns: ClassVar[dict[str, str]] = {"block_capabilities": "capabilities"}

    block_type_id: AnyId | None = None
    block_capabilities: Capabilities | None = None
    id: AnyId | None = None
    version: AnyText | None = None


class BlockDocumentFilter(Filter):
    """Anonymous blocks belong to programs and are shown only on request."""

    id: AnyId | None = None
    is_anonymous: YesOrNo | None = YesOrNo(eq_=False)
    block_type_id: AnyId | None = None
    name: NameMatch | None = None


class BlockDocumentSort(StrEnum):
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    BLOCK_TYPE_AND_NAME_ASC = "BLOCK_TYPE_AND_NAME_ASC"


BLOCK_ORDERS: Mapping[str, tuple[str, ...]] = {
    "NAME_ASC": ("name", "id"),
    "NAME_DESC": ("-name", "-id"),
    "BLOCK_TYPE_AND_NAME_ASC": ("block_type__name", "name", "id"),
}


def block_types_matching(types: BlockTypeFilter | None, schemas: BlockSchemaFilter | None) -> Q:
    condition = matched(types)
    if schemas is not None:
        condition &= Q(Exists(BlockSchema.objects.filter(matched(schemas), block_type=OuterRef("pk"))))
    return condition
