"""Base classes of the admin: lists whose cost does not grow with their table, and forms that write changed columns.

Django's admin counts whole tables, sorts by any column, and compares ids as texts. Tables that grow with use name an
indexed column that orders rows by age (`newest_by`): columns without an index are then searched among the newest rows
only.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, ClassVar, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Field, JSONField, Model, Q, QuerySet, TextField, UUIDField
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.text import capfirst

from orchestration.transactions import write_transaction
from orion_site.operators.cells import Short
from orionflow.contract.names import fault_of
from runs.pages.selectors.keyset import COUNT_CAP as CAP
from runs.pages.selectors.keyset import Count, capped_count

# The number of newest rows that are searched by columns without an index.
REACH = 20_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts up to a cap; Django's paginator would count the whole table each time."""

    @cached_property
    def counted(self) -> Count:
        return capped_count(cast("QuerySet[Model]", self.object_list), CAP)

    @cached_property
    def count(self) -> int:
        return self.counted.number


class BoundedChangeList(ChangeList):
    """A list that sorts only by the offered columns, and does not load large ones."""

    def get_ordering_field(self, field_name: Any) -> Any:
        # The address may name any column.
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Model]:
        rows = super().get_queryset(request, exclude_parameters)
        cut = {one.name: one.expression for one in self.list_display if isinstance(one, Short)}
        rows = rows.annotate(**cut) if cut else rows
        return rows.defer(*self._large()) if self._bounded.newest_by else rows

    @property
    def _bounded(self) -> BoundedAdmin:
        return cast(BoundedAdmin, self.model_admin)

    def _large(self) -> Iterable[str]:
        options = self.model_admin.opts
        yield from (name for name in _large_columns(options.model) if name not in self.list_display)
        for related in self.list_select_related if isinstance(self.list_select_related, list | tuple) else ():
            model = options.get_field(related).related_model
            yield from (f"{related}__{name}" for name in _large_columns(model))


def _large_columns(model: Any) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, JSONField | TextField)]


class BoundedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A list whose cost does not grow with its table."""

    show_full_result_count = False
    # Facets would count the table once for each choice of a filter.
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50

    #: The indexed column that orders the rows of a growing table by age.
    newest_by: ClassVar[str] = ""
    #: Conditions on indexed columns that addresses may contain in addition to the filters of the list.
    linked_by: ClassVar[tuple[str, ...]] = ()

    def get_changelist(self, request: HttpRequest, **more: Any) -> type[ChangeList]:
        return BoundedChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if (row := context.get("original")) is not None:
            context |= {"title": f"{capfirst(self.opts.verbose_name)} {row}", "subtitle": None}
        return super().render_change_form(request, context, *args, **kwargs)

    # Django opens transactions of its own for forms, of which the audit log does not know.

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with write_transaction() if request.method == "POST" else nullcontext():
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with write_transaction() if request.method == "POST" else nullcontext():
            return super().delete_view(request, *args, **kwargs)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        with write_transaction():
            super().delete_queryset(request, queryset)

    def get_sortable_by(self, request: HttpRequest) -> Any:
        return () if self.newest_by else super().get_sortable_by(request)

    def newest(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return only the REACH newest rows of a growing table."""
        if not self.newest_by:
            return rows
        by_age = self.model._default_manager.order_by(f"-{self.newest_by}").values_list(self.newest_by, flat=True)
        # Runs may have no time yet; PostgreSQL lists nulls first.
        oldest = by_age.filter(**{f"{self.newest_by}__isnull": False})[REACH : REACH + 1].first()
        return rows if oldest is None else rows.filter(**{f"{self.newest_by}__gte": oldest})

    # --- conditions in addresses -----------------------------------------------------------------------------------

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow only conditions of the list's filters and of links; Django allows them on every column."""
        return lookup in self.linked_by or any(
            lookup in names for names in map(self._asked_by, self.list_filter) if names
        )

    def _asked_by(self, one: Any) -> set[str]:
        if isinstance(one, type):
            return {str(getattr(one, "parameter_name", ""))}
        column, kind = one if isinstance(one, tuple) else (one, None)
        if suffixes := getattr(kind, "suffixes", None):
            return {f"{column}__{suffix}" for suffix in suffixes}
        return {f"{column}__exact", f"{column}__isnull"}

    # --- search ----------------------------------------------------------------------------------------------------

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Search by an index for a column's whole value; otherwise compare words in `search_fields`.

        Django would compare ids as texts, without an index, and combine all columns in one condition.
        """
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = _read_id(term)
        for column in (one[1:] for one in self.search_fields if one.startswith("=")):
            value = wanted if self._is_of_ids(column) else term
            # One by one: for two columns in one condition, the database may use neither index.
            if value is not None and (found := queryset.filter(**{column: value})).exists():
                return found, False
        words = Q()
        for column in (one for one in self.search_fields if not one.startswith("=")):
            words |= Q(**{f"{column}__icontains": term})
        return self.newest(queryset).filter(words) if words else queryset.none(), False

    def _is_of_ids(self, column: str) -> bool:
        field: Any = None
        options: Any = self.opts
        for name in column.split("__"):
            field = options.get_field(name)
            options = field.related_model._meta if field.is_relation else None
        return isinstance(cast("Field[Any, Any]", getattr(field, "target_field", field)), UUIDField)


def _read_id(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


class RecordAdmin(BoundedAdmin):
    """Rows that services write and users only read."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class SettingForm(ModelForm):  # type: ignore[type-arg]
    """A form that refuses a new name that people cannot read. An object keeps an older one."""

    def clean_name(self) -> Any:
        name = self.cleaned_data["name"]
        fault = fault_of(name or "") if "name" in self.changed_data else None
        if fault:
            raise ValidationError(f"{fault}.")
        return name


class SettingAdmin(BoundedAdmin):
    """Rows that users may change. Only changed columns are written, because others may have changed in between."""

    form = SettingForm

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        # A field that may be null may be left empty.
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.null:
            field.required = False
        if field is not None and isinstance(db_field, JSONField) and not db_field.null:
            # An empty object or list is a value, but no text at all is none.
            field.required, field.empty_values = True, [None, ""]
        return field

    def save_model(self, request: HttpRequest, obj: Model, form: ModelForm[Model], change: bool) -> None:
        if change:
            obj.save(update_fields=[*form.changed_data, "updated"])
        else:
            obj.save()
