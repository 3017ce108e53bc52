"""Runs in the admin. Only the rules engine writes them, so nearly everything is read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from orchestration.database_clock import current_time
from orion_site.operators.cells import Short, WithState
from orion_site.operators.commands import CommandingAdmin
from orion_site.operators.filters import DatesFilter, NewestChoices, VerdictFilter
from orion_site.operators.records import REACH, RecordAdmin, SettingAdmin
from runs import models
from runs.admin_commands import ON_FLOW_RUNS, ON_TASK_RUNS
from runs.periods import period_text
from runs.states.selectors import unfolded


@admin.register(models.Flow)
class FlowAdmin(SettingAdmin):
    list_display = ["name", "tags", "created", "updated"]
    search_fields = ["=id", "name"]
    search_help_text = "A flow's id, or a part of its name."
    fields = ["id", "name", "tags", "created", "updated"]
    readonly_fields = ["id", "name", "created", "updated"]

    def view_on_site(self, obj: models.Flow) -> str:
        return reverse("runs:flow", args=[obj.pk])

    def has_add_permission(self, request: object) -> bool:
        # A flow is identified by its code; one added by hand would have none.
        return False

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        # The admin would load every run of the flow to delete it; the API does it in a few statements.
        return False


TIMES = ("expected_start_time", "next_scheduled_start_time", "start_time", "end_time", "total_run_time", "run_count")


class RunAdmin(WithState, RecordAdmin):
    newest_by = "expected_start_time"
    search_fields = ["=id", "name"]
    search_help_text = f"A run's id, or a part of its name: names are looked for in the newest {REACH:,} runs."

    @admin.display(ordering="total_run_time")
    def time_running(self, run: models.FlowRun | models.TaskRun) -> str:
        return period_text(run.total_run_time) if run.run_count else "–"


class TimeFilter(admin.SimpleListFilter):
    """A filter that shows runs up to now by default: planned runs would otherwise fill the first pages."""

    title = "time"
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("past", "Up to now"), ("later", "Later"), ("any", "Any time")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        for value, words in self.lookup_choices:
            yield {
                "selected": value == self._asked(changelist.params | {"q": changelist.query}),
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": words,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[models.FlowRun]) -> QuerySet[models.FlowRun]:
        match self._asked(request.GET):
            case "past":
                return queryset.filter(expected_start_time__lte=current_time())
            case "later":
                return queryset.filter(expected_start_time__gt=current_time())
        return queryset

    def _asked(self, given: Mapping[str, Any]) -> str:
        # A user who filters by state or searches for a run means runs of any time.
        return self.value() or ("any" if given.get("q") or given.get("state_type__exact") else "past")


@admin.register(models.FlowRun)
class FlowRunAdmin(CommandingAdmin, RunAdmin):
    commands = ON_FLOW_RUNS
    list_display = ["name", "flow", "state", "expected_start_time", "start_time", "time_running", "run_count"]
    list_filter = [TimeFilter, "state_type", ("expected_start_time", DatesFilter)]
    list_select_related = ["flow"]
    linked_by = ("flow__id__exact", "deployment_id__exact", "work_queue_id__exact")
    readonly_fields = ["id", "state"]
    fieldsets = [
        (None, {"fields": ["id", "name", "flow", "state", "state_timestamp", "seq", "tags", "refusal"]}),
        ("Times", {"fields": [*TIMES]}),
        (
            "Where it runs",
            {
                "fields": [
                    *("deployment_id", "deployment_version", "work_queue_name", "work_queue_id", "schedule_id"),
                    *("infrastructure_pid", "process", "epoch", "hinted_at", "lost_starts", "parent_task_run"),
                ]
            },
        ),
        (
            "What it was given",
            {
                "fields": [
                    *("parameters", "context", "job_variables", "empirical_policy", "flow_version"),
                    *("idempotency_key", "auto_scheduled", "created_by", "created"),
                ]
            },
        ),
    ]

    def view_on_site(self, obj: models.FlowRun) -> str:
        return reverse("runs:run", args=[obj.pk])


@admin.register(models.TaskRun)
class TaskRunAdmin(CommandingAdmin, RunAdmin):
    commands = ON_TASK_RUNS
    list_display = ["name", "flow_run", "state", "expected_start_time", "start_time", "time_running", "run_count"]
    list_filter = [("state_type", NewestChoices), ("expected_start_time", DatesFilter)]
    list_select_related = ["flow_run"]
    linked_by = ("flow_run__id__exact",)
    readonly_fields = ["id", "state", "usual_states"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *("id", "name", "flow_run", "state", "state_timestamp", "seq", "usual_states", "tags", "refusal"),
                ]
            },
        ),
        ("Times", {"fields": [*TIMES, "flow_run_run_count"]}),
        (
            "What it was given",
            {
                "fields": [
                    *("task_key", "dynamic_key", "task_version", "task_inputs", "empirical_policy"),
                    *("cache_key", "cache_expiration", "created"),
                ]
            },
        ),
    ]

    @admin.display(description="First states, which have no rows", empty_value="none")
    def usual_states(self, run: models.TaskRun) -> str | None:
        return (
            ", ".join(f"{one.name} ({one.timestamp.isoformat(' ', 'milliseconds')})" for one in unfolded(run)) or None
        )

    def view_on_site(self, obj: models.TaskRun) -> str:
        return reverse("runs:task-run", args=[obj.pk])


class StateAdmin(RecordAdmin):
    newest_by = "id"
    list_filter = [("type", NewestChoices), VerdictFilter]
    # By key: there is no index on time, and the newest states of all runs are of no use.
    ordering = ["-id"]


@admin.register(models.FlowRunState)
class FlowRunStateAdmin(StateAdmin):
    list_display = ["name", "flow_run", "seq", "timestamp", "verdict", "author", Short("message")]
    list_select_related = ["flow_run"]
    search_fields = ["=id", "=flow_run"]
    search_help_text = "The id of a state, or of its flow run."
    linked_by = ("flow_run__id__exact",)


@admin.register(models.TaskRunState)
class TaskRunStateAdmin(StateAdmin):
    list_display = ["name", "task_run", "seq", "timestamp", "verdict", "author", Short("message")]
    list_select_related = ["task_run"]
    search_fields = ["=id", "=task_run"]
    search_help_text = "The id of a state, or of its task run."
    linked_by = ("task_run__id__exact",)


@admin.register(models.Log)
class LogAdmin(RecordAdmin):
    newest_by = "timestamp"
    list_display = ["timestamp", "level", "name", Short("message"), "flow_run_id"]
    list_filter = [("timestamp", DatesFilter)]
    search_fields = ["=flow_run_id", "=task_run_id"]
    search_help_text = "The id of a flow run or a task run."
    ordering = ["-timestamp", "-id"]
    linked_by = ("flow_run_id__exact",)


@admin.register(models.Artifact)
class ArtifactAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["__str__", "type", Short("description"), "flow_run_id", "created"]
    search_fields = ["=id", "=key", "=flow_run_id", "=task_run_id"]
    search_help_text = "The key of an artifact, its id, or that of its run."
    ordering = ["-id"]
    linked_by = ("flow_run_id__exact",)

    def view_on_site(self, obj: models.Artifact) -> str:
        return reverse("runs:artifact", args=[obj.pk])


@admin.register(models.ArtifactCollection)
class ArtifactCollectionAdmin(RecordAdmin):
    list_display = ["key", "latest_id", "updated"]
    search_fields = ["=key"]
    search_help_text = "The key of the artifacts."


@admin.register(models.CacheEntry)
class CacheEntryAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["cache_key", "expires_at", "created"]
    search_fields = ["=cache_key"]
    search_help_text = "The whole cache key."
    ordering = ["-id"]


@admin.register(models.FlowRunInput)
class FlowRunInputAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["key", "flow_run", "sender", "created"]
    list_select_related = ["flow_run"]
    search_fields = ["=flow_run"]
    search_help_text = "The id of a flow run."
    ordering = ["-id"]


@admin.register(models.SavedSearch)
class SavedSearchAdmin(SettingAdmin):
    list_display = ["name", "saved_by", "visibility", "updated"]
    search_fields = ["name"]

    @admin.display(description="Saved by")
    def saved_by(self, search: models.SavedSearch) -> str:
        return str((search.created_by or {}).get("display_value") or "–")


@admin.register(models.DefaultView)
class DefaultViewAdmin(RecordAdmin):
    list_display = ["user", "list_name", "key"]
    search_fields = ["=key"]


@admin.register(models.Problem)
class ProblemAdmin(RecordAdmin):
    newest_by = "last_seen"
    list_display = ["type", Short("example"), "place", "status", "failures", "assignee", "last_seen"]
    list_filter = ["status"]
    search_fields = ["=id", "=type", "=assignee"]
    search_help_text = "The id of a problem, a type of exception, or whose it is."
    ordering = ["-last_seen"]

    def view_on_site(self, obj: models.Problem) -> str:
        return reverse("runs:problem", args=[obj.pk])


@admin.register(models.Occurrence)
class OccurrenceAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["problem_id", "run_id", "seen_at", "is_consequence"]
    search_fields = ["=problem_id", "=run"]
    search_help_text = "The id of a problem, or of a flow run."
    ordering = ["-id"]


@admin.register(models.RunRetry)
class RunRetryAdmin(RecordAdmin):
    newest_by = "created"
    list_display = ["__str__", "flow_run_id", "attempt", "author", "created"]
    search_fields = ["=id", "=flow_run", "=source_id", "=author"]
    search_help_text = "The id of a retry or of one of its runs, or the name of who began it."
    ordering = ["-created"]

    def view_on_site(self, obj: models.RunRetry) -> str:
        return reverse("runs:run", args=[obj.flow_run_id])


@admin.register(models.Environment)
class EnvironmentAdmin(RecordAdmin):
    newest_by = "created"
    list_display = ["__str__", "python", "platform", "created"]
    search_fields = ["=id", "=commit"]
    search_help_text = "The id of an environment, or a commit."
    ordering = ["-created"]


@admin.register(models.BulkAction)
class BulkActionAdmin(RecordAdmin):
    newest_by = "created"
    list_display = ["__str__", "status", "done", "refused", "failed", "author", "created"]
    list_filter = ["status", "action"]
    search_fields = ["=id", "=author"]
    search_help_text = "The id of a bulk action, or the name of who began it."
    ordering = ["-created"]

    def view_on_site(self, obj: models.BulkAction) -> str:
        return reverse("runs:bulk-action", args=[obj.pk])


@admin.register(models.BulkRun)
class BulkRunAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["bulk_action", "number", "name", "outcome", Short("reason"), "run_id"]
    list_select_related = ["bulk_action"]
    search_fields = ["=bulk_action", "=run_id"]
    search_help_text = "The id of a bulk action, or of a run."
    ordering = ["-id"]
    linked_by = ("bulk_action__id__exact",)


@admin.register(models.RollUpChange)
class RollUpChangeAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["id", "kind", "minute", "state_type", "state_name", "runs"]
    ordering = ["-id"]


@admin.register(models.RollUp)
class RollUpAdmin(RecordAdmin):
    newest_by = "id"
    list_display = ["subject", "level", "bucket", "state_type", "state_name", "runs"]
    search_fields = ["=subject"]
    search_help_text = "A kind of runs, or the id of a flow or deployment without hyphens."
    ordering = ["-id"]


@admin.register(models.HeldCall)
class HeldCallAdmin(RecordAdmin):
    list_display = ["task_run_id", "held_until", "server"]
    search_fields = ["=task_run_id"]
    search_help_text = "The id of a task run."
    ordering = ["-task_run_id"]


@admin.register(models.Conversion)
class ConversionAdmin(RecordAdmin):
    list_display = ["name", "position", "finished"]
    search_fields = ["=name"]
