"""The admin's view of deployments, queues and limits. Slots belong to the rules engine; the rest may be changed."""

from __future__ import annotations

from django.contrib import admin

from deployments import models
from runs.admin_records import RecordAdmin, SettingAdmin


@admin.register(models.WorkPool)
class WorkPoolAdmin(SettingAdmin):
    list_display = ["name", "type", "is_paused", "concurrency_limit", "updated"]
    search_fields = ["name", "=id"]


@admin.register(models.WorkQueue)
class WorkQueueAdmin(SettingAdmin):
    list_display = ["name", "work_pool", "priority", "is_paused", "concurrency_limit", "last_polled"]
    list_select_related = ["work_pool"]
    search_fields = ["name", "=id"]
    readonly_fields = ["last_polled"]
    raw_id_fields = ["work_pool"]


@admin.register(models.Deployment)
class DeploymentAdmin(SettingAdmin):
    list_display = ["name", "flow", "paused", "work_queue_name", "status", "updated"]
    list_select_related = ["flow"]
    search_fields = ["name", "=id"]
    readonly_fields = ["flow", "status", "last_polled", "created_by", "updated_by"]
    raw_id_fields = ["work_queue"]

    def has_add_permission(self, request: object) -> bool:
        # A deployment is made from code; one made by hand would point nowhere.
        return False


@admin.register(models.ConcurrencyLimit)
class ConcurrencyLimitAdmin(SettingAdmin):
    list_display = ["tag", "concurrency_limit", "updated"]
    search_fields = ["tag"]


@admin.register(models.Slot)
class SlotAdmin(RecordAdmin):
    list_display = ["limit", "task_run", "taken_at", "epoch"]
    list_select_related = ["limit", "task_run"]
    search_fields = ["=task_run__id", "=limit__tag"]
