"""The admin's view of events, of those who want to hear of them, and of what is still to be sent."""

from __future__ import annotations

from django.contrib import admin

from events import models
from runs.admin_records import RecordAdmin, SettingAdmin


@admin.register(models.Event)
class EventAdmin(RecordAdmin):
    list_display = ["event", "resource_id", "occurred", "pending"]
    list_filter = ["pending"]
    search_fields = ["=id", "^event", "^resource_id"]
    date_hierarchy = "occurred"


@admin.register(models.NotificationPolicy)
class NotificationPolicyAdmin(SettingAdmin):
    list_display = ["__str__", "is_active", "block_document", "updated"]
    list_filter = ["is_active"]
    list_select_related = ["block_document"]
    raw_id_fields = ["block_document"]
    search_fields = ["=id"]


@admin.register(models.Notification)
class NotificationAdmin(RecordAdmin):
    list_display = ["subject", "standing", "created", "due_at", "attempts", "last_error"]
    list_filter = ["standing"]
    search_fields = ["=id", "=flow_run_id"]


@admin.register(models.Automation)
class AutomationAdmin(SettingAdmin):
    list_display = ["name", "enabled", "updated"]
    list_filter = ["enabled"]
    search_fields = ["name", "=id"]
    readonly_fields = ["trigger", "actions", "actions_on_trigger", "actions_on_resolve", "owner_resource"]

    def has_add_permission(self, request: object) -> bool:
        # A trigger is checked by the API; one typed here might never fire.
        return False


@admin.register(models.ActionRun)
class ActionRunAdmin(RecordAdmin):
    list_display = ["automation", "created", "done_at", "error"]
    list_select_related = ["automation"]
    search_fields = ["=id", "=automation__id"]
