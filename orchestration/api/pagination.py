"""Pagination of lists: how many rows, and from which offset on."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet
from pydantic import Field, model_validator
from rest_framework.pagination import BasePagination
from rest_framework.request import Request

from orchestration.api.errors import Refused
from orionflow.contract.wire import Wire

# The highest offset: the databases count rows in 64 bits, and no client needs a higher one.
FARTHEST = 2**62
Row = TypeVar("Row", bound=Model)


class Page(Wire):
    """The part of a filter request that says which rows of the result are requested."""

    limit: int | None = None
    offset: Annotated[int, Field(ge=0, le=FARTHEST)] = 0

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, asked: Any) -> Any:
        # Clients write out fields that they do not set: `"sort": null` means the default order.
        return {name: value for name, value in asked.items() if value is not None} if isinstance(asked, dict) else asked


def rows_asked_for(page: Page) -> slice:
    """Return the part of a list that `limit` and `offset` ask for."""
    limit: int = settings.ORION_API_DEFAULT_LIMIT
    if page.limit is not None:
        if not 0 <= page.limit <= limit:
            raise Refused(f"Invalid limit: must be less than or equal to {limit}.")
        limit = page.limit
    return slice(page.offset, page.offset + limit)


class PageOfBody(BasePagination):
    """The rows that `limit` and `offset` in the body of a filter request ask for."""

    def paginate_queryset(self, queryset: QuerySet[Row, Row], request: Request, view: Any = None) -> list[Row]:
        asked = rows_asked_for(view.body)
        return list(queryset[asked]) if asked.start < asked.stop else []
