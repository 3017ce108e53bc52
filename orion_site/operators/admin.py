"""The admin's log in the admin: rows that Django writes, with their user and action."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry

from orion_site.operators.records import RecordAdmin


@admin.register(LogEntry)
class LogEntryAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["action_time", "user", "object_repr", "content_type", "message"]
    list_select_related = ["user", "content_type"]
    search_fields = ["object_repr"]
    search_help_text = "A part of the name of what was changed."
    ordering = ["-id"]

    @admin.display(description="What was done")
    def message(self, row: LogEntry) -> str:
        return row.get_change_message()
