"""Entries in the admin, read-only."""

from __future__ import annotations

from django.contrib import admin

from orion_site.audit.models import Day, Entry
from orion_site.operators.filters import NewestChoices
from orion_site.operators.records import RecordAdmin


@admin.register(Entry)
class EntryAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["at", "actor", "operation", "object_kind", "object_name", "result", "entrance"]
    list_filter = [("result", NewestChoices), ("entrance", NewestChoices)]
    search_fields = ["=object_id", "=actor", "object_name"]
    search_help_text = "The id of an object, the whole name of who acted, or a part of the object's name."
    ordering = ["-id"]


@admin.register(Day)
class DayAdmin(RecordAdmin):
    list_display = ["day", "entries", "removed"]
    ordering = ["-day"]
