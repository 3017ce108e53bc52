"""The admin's view of pools, queues and workers, of leases, and of slots that have a holder.

Users change pools, queues and limits. Rows that agents and rules write are read-only. Commands remove a worker that has
stopped, and release slots.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from deployments import models
from deployments.admin_commands import (
    ON_GLOBAL_LIMITS,
    ON_GLOBAL_SLOTS,
    ON_LEASES,
    ON_SLOTS,
    ON_TAG_LIMITS,
    ON_WORK,
    ON_WORKERS,
    switch_work,
)
from deployments.work.services.queue_usage import usage_of
from deployments.work.services.work_pools import delete_work_pool
from deployments.work.services.work_queues import delete_work_queue
from orchestration.database_clock import current_time
from orion_site.operators.commands import CommandingAdmin
from orion_site.operators.records import RecordAdmin, SettingAdmin


class PausableAdmin(CommandingAdmin, SettingAdmin):
    """Rows that services pause and resume, also in the form, because they record an event."""

    commands = ON_WORK

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change or "is_paused" not in form.changed_data:
            super().save_model(request, obj, form, change)
            return
        obj.save(update_fields=[*(name for name in form.changed_data if name != "is_paused"), "updated"])
        switch_work(obj, paused=obj.is_paused, now=current_time())


@admin.register(models.WorkPool)
class WorkPoolAdmin(PausableAdmin):
    list_display = ["name", "type", "is_paused", "concurrency_limit", "fair_share", "updated"]
    list_filter = ["is_paused"]
    search_fields = ["=id", "name"]
    readonly_fields = ["default_queue_id"]

    def view_on_site(self, obj: models.WorkPool) -> str:
        return reverse("deployments:work")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        # The API reports who uses a pool, and deletes it anyway by force.
        if not isinstance(obj, models.WorkPool):
            return False
        return not usage_of(list(obj.queues.values_list("pk", flat=True)))

    def delete_model(self, request: HttpRequest, obj: models.WorkPool) -> None:
        delete_work_pool(name=obj.name)


@admin.register(models.WorkQueue)
class WorkQueueAdmin(PausableAdmin):
    list_display = ["name", "work_pool", "priority", "is_paused", "concurrency_limit", "last_polled"]
    list_select_related = ["work_pool"]
    list_filter = ["is_paused"]
    search_fields = ["=id", "name"]
    # Changing a priority shifts those of other queues; the API does that.
    readonly_fields = ["priority", "last_polled"]
    raw_id_fields = ["work_pool"]

    def view_on_site(self, obj: models.WorkQueue) -> str:
        return reverse("deployments:queue", args=[obj.pk])

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A queue is created with a unique priority: by the API, or by a deployment that names it.
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if not isinstance(obj, models.WorkQueue):
            return False
        is_default = obj.work_pool is not None and obj.work_pool.default_queue_id == obj.pk
        return not is_default and not usage_of([obj.pk])

    def delete_model(self, request: HttpRequest, obj: models.WorkQueue) -> None:
        delete_work_queue(queue_id=obj.pk)


@admin.register(models.FormerQueue)
class FormerQueueAdmin(RecordAdmin):
    list_display = ["pool_name", "name"]
    search_fields = ["pool_name", "name", "=id"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True


@admin.register(models.Worker)
class WorkerAdmin(CommandingAdmin, RecordAdmin):
    commands = ON_WORKERS
    list_display = ["name", "work_pool", "host", "concurrency", "last_heartbeat", "offline_at", "draining"]
    list_filter = ["draining"]
    list_select_related = ["work_pool"]
    search_fields = ["=id", "name", "host"]

    def view_on_site(self, obj: models.Worker) -> str:
        return reverse("deployments:agent", args=[obj.pk])


@admin.register(models.Lease)
class LeaseAdmin(CommandingAdmin, RecordAdmin):
    commands = ON_LEASES
    list_display = ["flow_run", "epoch", "worker", "granted_at", "expires_at"]
    list_select_related = ["flow_run", "worker"]
    search_fields = ["=flow_run", "=worker__name"]
    search_help_text = "The id of a flow run, or the name of an agent."
    linked_by = ("worker__id__exact",)

    def view_on_site(self, obj: models.Lease) -> str:
        return reverse("runs:run", args=[obj.pk])


@admin.register(models.ConcurrencyLimit)
class ConcurrencyLimitAdmin(CommandingAdmin, SettingAdmin):
    commands = ON_TAG_LIMITS
    list_display = ["tag", "concurrency_limit", "updated"]
    search_fields = ["=id", "tag"]

    def view_on_site(self, obj: models.ConcurrencyLimit) -> str:
        return reverse("deployments:tag-limit", args=[obj.pk])


@admin.register(models.Slot)
class SlotAdmin(CommandingAdmin, RecordAdmin):
    commands = ON_SLOTS
    list_display = ["limit", "task_run", "taken_at", "epoch"]
    list_select_related = ["limit", "task_run"]
    search_fields = ["=task_run", "=limit__tag"]
    search_help_text = "The id of a task run, or a tag."
    linked_by = ("limit__id__exact",)

    def view_on_site(self, obj: models.Slot) -> str:
        return reverse("deployments:tag-limit", args=[obj.limit_id])


@admin.register(models.GlobalLimit)
class GlobalLimitAdmin(CommandingAdmin, SettingAdmin):
    commands = ON_GLOBAL_LIMITS
    list_display = ["name", "limit", "active", "active_slots", "slot_decay_per_second", "updated"]
    list_filter = ["active"]
    search_fields = ["=id", "name"]
    readonly_fields = ["active_slots", "denied_slots", "counted_at", "avg_slot_occupancy_seconds"]

    def view_on_site(self, obj: models.GlobalLimit) -> str:
        return reverse("deployments:global-limit", args=[obj.pk])


@admin.register(models.GlobalSlot)
class GlobalSlotAdmin(CommandingAdmin, RecordAdmin):
    commands = ON_GLOBAL_SLOTS
    list_display = ["limit", "slots", "flow_run", "task_run_id", "taken_at", "expires_at"]
    list_select_related = ["limit", "flow_run"]
    search_fields = ["=id", "=flow_run", "=limit__name"]
    search_help_text = "The id of a flow run, or the name of a limit."
    linked_by = ("limit__id__exact",)

    def view_on_site(self, obj: models.GlobalSlot) -> str:
        return reverse("deployments:global-limit", args=[obj.limit_id])


@admin.register(models.ServiceRecord)
class ServiceRecordAdmin(RecordAdmin):
    list_display = ["name", "every_seconds", "last_tick", "last_success", "errors", "ticker"]
    search_fields = ["name"]
