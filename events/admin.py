"""The admin's view of events, automations, notification policies, and the outbox."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse

from events import models
from events.admin_commands import ON_AUTOMATIONS, ON_POLICIES
from orion_site.operators.cells import Short
from orion_site.operators.commands import CommandingAdmin
from orion_site.operators.filters import DatesFilter, NewestBoolean, NewestChoices
from orion_site.operators.records import RecordAdmin, SettingAdmin


@admin.register(models.Event)
class EventAdmin(RecordAdmin):
    list_display = ["event", "resource_id", "occurred", "pending"]
    newest_by = "occurred"
    list_filter = [("occurred", DatesFilter), ("pending", NewestBoolean)]
    search_fields = ["=id", "=event", "=resource_id"]
    search_help_text = "The id of an event, its whole name, or the whole id of a resource."

    def view_on_site(self, obj: models.Event) -> str:
        return reverse("events:event", args=[obj.pk])


@admin.register(models.NotificationPolicy)
class NotificationPolicyAdmin(CommandingAdmin, SettingAdmin):
    commands = ON_POLICIES
    list_display = ["__str__", "is_active", "block_document", "updated"]
    list_filter = ["is_active"]
    list_select_related = ["block_document"]
    raw_id_fields = ["block_document"]
    search_fields = ["=id"]

    def view_on_site(self, obj: models.NotificationPolicy) -> str:
        return reverse("events:policy", args=[obj.pk])


@admin.register(models.Notification)
class NotificationAdmin(RecordAdmin):
    newest_by = "created"
    list_display = [Short("subject"), "standing", "created", "due_at", "attempts", Short("last_error")]
    list_filter = [("standing", NewestChoices), ("created", DatesFilter)]
    search_fields = ["=id"]
    search_help_text = "The id of a notification."

    def view_on_site(self, obj: models.Notification) -> str:
        return reverse("events:notifications")


@admin.register(models.Automation)
class AutomationAdmin(CommandingAdmin, SettingAdmin):
    commands = ON_AUTOMATIONS
    list_display = ["name", "enabled", "updated"]
    list_filter = ["enabled"]
    search_fields = ["=id", "name"]
    readonly_fields = ["trigger", "actions", "actions_on_trigger", "actions_on_resolve", "owner_resource"]

    def view_on_site(self, obj: models.Automation) -> str:
        return reverse("events:automation", args=[obj.pk])

    def has_add_permission(self, request: object) -> bool:
        # The API validates triggers; one entered here might never fire.
        return False


@admin.register(models.ActionRun)
class ActionRunAdmin(RecordAdmin):
    list_display = ["automation", "created", "done_at", "error"]
    list_select_related = ["automation"]
    search_fields = ["=id", "=automation"]
    search_help_text = "The id of an automation, or of one of its actions."
    linked_by = ("automation__id__exact",)


@admin.register(models.TriggerState)
class TriggerStateAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["automation", "trigger", "bucket", "count", "begun_at", "ends_at"]
    list_select_related = ["automation"]
    search_fields = ["=automation"]
    search_help_text = "The id of an automation."
    ordering = ["-id"]


@admin.register(models.RecordedStatus)
class RecordedStatusAdmin(RecordAdmin):
    list_display = ["resource_id", "status"]
    search_fields = ["resource_id"]
    ordering = ["resource_id"]
