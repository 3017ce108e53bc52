"""The admin's view of deployments, queues, limits, variables and blocks.

Slots belong to the rules engine, and blocks to the programs that define them: those are for reading, without secrets.
"""

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
    list_display = ["name", "flow", "paused", "work_queue_name", "updated"]
    list_select_related = ["flow"]
    search_fields = ["name", "=id"]
    readonly_fields = ["flow", "last_polled", "created_by", "updated_by"]
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


@admin.register(models.GlobalLimit)
class GlobalLimitAdmin(SettingAdmin):
    list_display = ["name", "limit", "active", "active_slots", "slot_decay_per_second", "updated"]
    search_fields = ["name", "=id"]
    readonly_fields = ["active_slots", "denied_slots", "counted_at", "avg_slot_occupancy_seconds"]


@admin.register(models.Variable)
class VariableAdmin(SettingAdmin):
    list_display = ["name", "value", "tags", "updated"]
    search_fields = ["name", "=id"]


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
    search_fields = ["name", "=id"]
    exclude = ["sealed"]


@admin.register(models.BlockReference)
class BlockReferenceAdmin(RecordAdmin):
    list_display = ["parent", "name", "document"]
    list_select_related = ["parent", "document"]
    search_fields = ["name"]
