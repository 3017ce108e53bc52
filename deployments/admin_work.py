"""The admin's view of pools, queues and workers, of the leases of attempts, and of slots that have a holder.

People change pools, queues and limits. What agents and rules write is for reading; a worker or a lease of slots may be
deleted, which is how somebody who does not come back is forgotten.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from deployments import models
from deployments.work.services.queue_usage import usage_of
from deployments.work.services.work_pools import delete_work_pool
from deployments.work.services.work_queues import delete_work_queue
from runs.admin_records import RecordAdmin, SettingAdmin


class ForgettableAdmin(RecordAdmin):
    """Rows that services write, and that people may delete."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


@admin.register(models.WorkPool)
class WorkPoolAdmin(SettingAdmin):
    list_display = ["name", "type", "is_paused", "concurrency_limit", "updated"]
    search_fields = ["name", "=id"]
    readonly_fields = ["default_queue_id"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # The API says who uses a pool, and deletes it all the same by force.
        if not isinstance(obj, models.WorkPool):
            return False
        return not usage_of(list(obj.queues.values_list("pk", flat=True)))

    def delete_model(self, request: HttpRequest, obj: models.WorkPool) -> None:
        delete_work_pool(name=obj.name)


@admin.register(models.WorkQueue)
class WorkQueueAdmin(SettingAdmin):
    list_display = ["name", "work_pool", "priority", "is_paused", "concurrency_limit", "last_polled"]
    list_select_related = ["work_pool"]
    search_fields = ["name", "=id"]
    # Priorities shift each other; the API does that.
    readonly_fields = ["priority", "last_polled"]
    raw_id_fields = ["work_pool"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A queue is made with a priority that no other has: by the API, or by a deployment that names it.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if not isinstance(obj, models.WorkQueue):
            return False
        is_default = obj.work_pool is not None and obj.work_pool.default_queue_id == obj.pk
        return not is_default and not usage_of([obj.pk])

    def delete_model(self, request: HttpRequest, obj: models.WorkQueue) -> None:
        delete_work_queue(queue_id=obj.pk)


@admin.register(models.FormerQueue)
class FormerQueueAdmin(ForgettableAdmin):
    list_display = ["pool_name", "name"]
    search_fields = ["pool_name", "name", "=id"]


@admin.register(models.Worker)
class WorkerAdmin(ForgettableAdmin):
    list_display = ["name", "work_pool", "host", "concurrency", "last_heartbeat", "offline_at", "draining"]
    list_select_related = ["work_pool"]
    search_fields = ["name", "host", "=id"]


@admin.register(models.Lease)
class LeaseAdmin(RecordAdmin):
    list_display = ["flow_run", "epoch", "worker", "granted_at", "expires_at"]
    list_select_related = ["flow_run", "worker"]
    search_fields = ["=flow_run__id", "=worker__name"]


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


@admin.register(models.GlobalSlot)
class GlobalSlotAdmin(ForgettableAdmin):
    list_display = ["limit", "slots", "flow_run", "task_run_id", "taken_at", "expires_at"]
    list_select_related = ["limit", "flow_run"]
    search_fields = ["=id", "=limit__name", "=flow_run__id"]


@admin.register(models.ServiceRecord)
class ServiceRecordAdmin(RecordAdmin):
    list_display = ["name", "every_seconds", "last_tick", "last_success", "errors", "ticker"]
    search_fields = ["name"]
