"""The admin's view of runs. The rules engine is the writer here, so nearly everything is for reading."""

from __future__ import annotations

from django.contrib import admin

from runs import models
from runs.admin_records import RecordAdmin, SettingAdmin


@admin.register(models.Flow)
class FlowAdmin(SettingAdmin):
    list_display = ["name", "tags", "created", "updated"]
    search_fields = ["name", "=id"]
    fields = ["id", "name", "tags", "created", "updated"]
    readonly_fields = ["id", "name", "created", "updated"]

    def has_add_permission(self, request: object) -> bool:
        # A flow is known by its code; one made by hand would have none.
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        # The admin would load every run of the flow to delete it; the API does it in a few statements.
        return False


class RunAdmin(RecordAdmin):
    list_filter = ["state_type"]
    search_fields = ["=id", "name"]
    search_help_text = "A run's id, or a part of its name."


@admin.register(models.FlowRun)
class FlowRunAdmin(RunAdmin):
    list_display = ["name", "flow", "state_name", "start_time", "total_run_time", "run_count"]
    list_select_related = ["flow"]


@admin.register(models.TaskRun)
class TaskRunAdmin(RunAdmin):
    list_display = ["name", "flow_run", "state_name", "start_time", "total_run_time", "run_count"]
    list_select_related = ["flow_run"]


class StateAdmin(RecordAdmin):
    list_filter = ["type", "verdict"]
    # By key: there is no index on time, and the newest of all states is nobody's question.
    ordering = ["-id"]


@admin.register(models.FlowRunState)
class FlowRunStateAdmin(StateAdmin):
    list_display = ["name", "flow_run", "seq", "timestamp", "verdict", "author", "message"]
    list_select_related = ["flow_run"]
    search_fields = ["=id", "=flow_run__id"]


@admin.register(models.TaskRunState)
class TaskRunStateAdmin(StateAdmin):
    list_display = ["name", "task_run", "seq", "timestamp", "verdict", "author", "message"]
    list_select_related = ["task_run"]
    search_fields = ["=id", "=task_run__id"]


@admin.register(models.Log)
class LogAdmin(RecordAdmin):
    list_display = ["timestamp", "level", "name", "message", "flow_run_id"]
    search_fields = ["=flow_run_id", "=task_run_id"]
    search_help_text = "The id of a flow run or a task run."
    ordering = ["-timestamp"]


@admin.register(models.Artifact)
class ArtifactAdmin(RecordAdmin):
    list_display = ["key", "type", "description", "flow_run_id", "created"]
    search_fields = ["=id", "=key", "=flow_run_id", "=task_run_id"]
    ordering = ["-id"]


@admin.register(models.ArtifactCollection)
class ArtifactCollectionAdmin(RecordAdmin):
    list_display = ["key", "latest_id", "updated"]
    search_fields = ["=key"]


@admin.register(models.CacheEntry)
class CacheEntryAdmin(RecordAdmin):
    list_display = ["cache_key", "expires_at", "created"]
    search_fields = ["=cache_key"]
    ordering = ["-id"]


@admin.register(models.FlowRunInput)
class FlowRunInputAdmin(RecordAdmin):
    list_display = ["key", "flow_run", "sender", "created"]
    list_select_related = ["flow_run"]
    search_fields = ["=flow_run__id"]
    ordering = ["-id"]


@admin.register(models.SavedSearch)
class SavedSearchAdmin(SettingAdmin):
    list_display = ["name", "updated"]
    search_fields = ["name"]
