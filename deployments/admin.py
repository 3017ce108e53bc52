"""The admin's view of deployments, variables and blocks; queues and limits are in `admin_work`.

Blocks belong to the programs that define them. Schedules and calendars are changed through the API, which replans their
runs. The admin shows both read-only, without secrets.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse

from deployments import (
    admin_work,  # noqa: F401  (registers)
    models,
)
from deployments.admin_commands import ON_BACKFILLS, ON_DEPLOYMENTS
from deployments.definitions.services.deployments import delete_deployment, update_deployment
from deployments.definitions.services.only_schedule import pause_or_resume
from orchestration.database_clock import current_time
from orion_site.operators.commands import CommandingAdmin
from orion_site.operators.filters import NewestChoices
from orion_site.operators.records import RecordAdmin, SettingAdmin


@admin.register(models.Deployment)
class DeploymentAdmin(CommandingAdmin, SettingAdmin):
    commands = ON_DEPLOYMENTS
    list_display = ["name", "flow", "paused", "work_queue_name", "updated"]
    list_select_related = ["flow"]
    list_filter = ["paused"]
    search_fields = ["=id", "name"]
    search_help_text = "A deployment's id, or a part of its name."
    readonly_fields = ["flow", "last_polled", "created_by", "updated_by"]
    raw_id_fields = ["work_queue"]

    def view_on_site(self, obj: models.Deployment) -> str:
        return reverse("deployments:deployment", args=[obj.pk])

    def has_add_permission(self, request: object) -> bool:
        # Deployments are made from code; one created by hand would have none.
        return False

    def save_model(self, request: object, obj: Any, form: Any, change: bool) -> None:
        # Use the services, because planned runs depend on the deployment, and its only schedule is paused with it.
        changes, now = {name: form.cleaned_data[name] for name in form.changed_data}, current_time()
        paused = changes.pop("paused", None)
        if changes or paused is None:
            update_deployment(deployment_id=obj.pk, changes=changes, now=now)
        if paused is not None:
            pause_or_resume(deployment_id=obj.pk, paused=paused, now=now)

    def get_deleted_objects(self, objs: Any, request: Any) -> Any:
        # Schedules are read-only here, but may be deleted together with their deployment.
        deleted, counts, _, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, set(), protected

    def delete_model(self, request: object, obj: Any) -> None:
        delete_deployment(deployment_id=obj.pk)

    def delete_queryset(self, request: object, queryset: Any) -> None:
        for deployment in queryset:
            delete_deployment(deployment_id=deployment.pk)


@admin.register(models.Schedule)
class ScheduleAdmin(RecordAdmin):
    list_display = ["deployment", "definition", "active", "runs_planned", "planned_until", "plan_at"]
    list_filter = ["active"]
    list_select_related = ["deployment"]
    search_fields = ["=id", "=deployment", "deployment__name"]
    search_help_text = "The id of a schedule or a deployment, or a part of the deployment's name."
    linked_by = ("deployment__id__exact",)

    def view_on_site(self, obj: models.Schedule) -> str:
        return reverse("deployments:deployment", args=[obj.deployment_id]) + "?tab=schedules"


@admin.register(models.Backfill)
class BackfillAdmin(CommandingAdmin, RecordAdmin):
    commands = ON_BACKFILLS
    list_display = ["name", "deployment", "status", "start", "end", "total", "created"]
    list_filter = ["status"]
    list_select_related = ["deployment"]
    search_fields = ["=id", "=deployment", "name"]
    linked_by = ("deployment__id__exact",)

    def view_on_site(self, obj: models.Backfill) -> str:
        return reverse("deployments:backfill", args=[obj.pk])


@admin.register(models.BackfillTime)
class BackfillTimeAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["backfill", "number", "at", "run_id", "is_over"]
    list_select_related = ["backfill"]
    search_fields = ["=backfill", "=run_id"]
    search_help_text = "The id of a backfill, or of a run."
    ordering = ["-id"]
    linked_by = ("backfill__id__exact",)


@admin.register(models.SkippedTime)
class SkippedTimeAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["deployment", "at", "key"]
    list_select_related = ["deployment"]
    search_fields = ["=deployment", "key"]
    search_help_text = "The id of a deployment, or a part of a key."
    ordering = ["-id"]


@admin.register(models.Calendar)
class CalendarAdmin(RecordAdmin):
    list_display = ["name", "description", "updated"]
    search_fields = ["name", "=id"]


@admin.register(models.Deadline)
class DeadlineAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["flow_run", "kind", "due", "missed_at"]
    list_filter = [("kind", NewestChoices)]
    list_select_related = ["flow_run"]
    search_fields = ["=flow_run"]
    search_help_text = "The id of a flow run."
    ordering = ["-id"]

    def view_on_site(self, obj: models.Deadline) -> str:
        return reverse("runs:run", args=[obj.flow_run_id])


@admin.register(models.Variable)
class VariableAdmin(SettingAdmin):
    list_display = ["name", "value", "tags", "updated"]
    search_fields = ["=id", "name"]

    def view_on_site(self, obj: models.Variable) -> str:
        return reverse("deployments:edit-variable", args=[obj.pk])


@admin.register(models.BlockType)
class BlockTypeAdmin(RecordAdmin):
    list_display = ["name", "slug", "updated"]
    search_fields = ["name", "slug", "=id"]


@admin.register(models.BlockSchema)
class BlockSchemaAdmin(RecordAdmin):
    list_display = ["block_type", "version", "checksum", "created"]
    list_select_related = ["block_type"]
    search_fields = ["checksum", "=id"]


@admin.register(models.BlockDocument)
class BlockDocumentAdmin(RecordAdmin):
    list_display = ["name", "block_type", "is_anonymous", "updated"]
    list_select_related = ["block_type"]
    search_fields = ["=id", "name"]
    exclude = ["sealed"]

    def view_on_site(self, obj: models.BlockDocument) -> str | None:
        return None if obj.is_anonymous else reverse("deployments:block", args=[obj.pk])


@admin.register(models.BlockReference)
class BlockReferenceAdmin(RecordAdmin):
    list_display = ["parent", "name", "document"]
    list_select_related = ["parent", "document"]
    search_fields = ["name"]


@admin.register(models.ChangedSetting)
class ChangedSettingAdmin(RecordAdmin):
    list_display = ["name", "value", "changed", "author"]
    search_fields = ["name"]

    def view_on_site(self, obj: models.ChangedSetting) -> str:
        return reverse("settings")
