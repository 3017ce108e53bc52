"""Bases of the admin's pages: records for reading, forms that write only changed fields, and bounded counts."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.functional import cached_property

COUNT_CAP = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts so far and no further: the admin's own pages would count the whole table each time."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Model]", self.object_list)
        return rows.order_by()[:COUNT_CAP].count()


class BoundedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list whose cost does not grow with its table."""

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50


class RecordAdmin(BoundedAdmin):
    """Rows that services write and people read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class SettingAdmin(BoundedAdmin):
    """Rows that people may change. Only the changed columns are written: the rest may have moved on meanwhile."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # What may be null may be left empty.
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.null:
            field.required = False
        return field

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Model], change: bool) -> None:
        if change:
            obj.save(update_fields=[*form.changed_data, "updated"])
        else:
            obj.save()
