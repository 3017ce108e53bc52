"""One filter class for each kind of row that can be searched for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from django.db.models import Exists, F, OuterRef, Q
from pydantic import Field

from deployments.models import Deployment
from orionflow.contract.wire import Int, Text255
from runs.lists.filters.conditions import (
    AnyId,
    AnyIdOrNull,
    AnyText,
    AnyTextOrNot,
    AnyTextOrNull,
    Filter,
    Ids,
    KeyMatch,
    Leaf,
    MomentRange,
    MomentRangeOrNull,
    NameMatch,
    Operator,
    RunId,
    RunNameMatch,
    RunTagsMatch,
    StateMatch,
    TagsMatch,
    YesOrNo,
    of_rare_tag,
)
from runs.models import FlowRun, FlowRunTag, Occurrence, RunRetry, TaskRun, TaskRunTag


class HasDeployment(Leaf):
    """Whether flows have a deployment."""

    operator: Operator = Operator.and_
    is_null_: bool | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.is_null_ is not None:
            has_one = Q(Exists(Deployment.objects.filter(flow=OuterRef("pk"))))
            yield ~has_one if self.is_null_ else has_one


class FlowFilter(Filter):
    id: AnyId | None = None
    deployment: HasDeployment | None = None
    name: NameMatch | None = None
    tags: TagsMatch | None = None


class ParentFlowRun(Leaf):
    """Flow runs that one of these flow runs called, through a task run."""

    operator: Operator = Operator.and_
    any_: Ids | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.any_ is not None:
            yield Q(parent_task_run__in=TaskRun.objects.filter(flow_run__in=self.any_).values("pk"))


class RetryOf(Leaf):
    """Runs that continue these runs by a retry from a task; with `is_null_`, runs that continue no other run."""

    operator: Operator = Operator.and_
    any_: Ids | None = None
    is_null_: bool | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        continuing = RunRetry.objects.exclude(source_id=F("flow_run"))
        if self.any_ is not None:
            yield Q(pk__in=continuing.filter(source_id__in=self.any_).values("flow_run"))
        if self.is_null_ is not None:
            found = Q(pk__in=continuing.values("flow_run"))
            yield ~found if self.is_null_ else found


class RunFilter(Filter):
    """Conditions on runs, whose tags are also stored as rows."""

    runs: ClassVar[type[FlowRun] | type[TaskRun]]
    tag_rows: ClassVar[type[FlowRunTag] | type[TaskRunTag]]

    id: RunId | None = None
    name: RunNameMatch | None = None
    state: StateMatch | None = None
    tags: RunTagsMatch | None = None

    def condition_on(self, field: str, leaf: Any) -> Q:
        if field not in {"name", "tags"}:
            return super().condition_on(field, leaf)
        condition: Q = leaf.on_runs(self.tag_rows if field == "tags" else self.runs)
        return condition

    @property
    def names_ids(self) -> bool:
        return self.operator is Operator.and_ and self.id is not None and self.id.any_ is not None

    @property
    def only_tags(self) -> list[str]:
        """Return the tags if the filter names nothing else; otherwise an empty list."""
        asked = {name for name in self.model_fields_set - {"operator"} if getattr(self, name) is not None}
        return self.tags.required if asked == {"tags"} and self.tags and self.tags.is_null_ is None else []

    def either_or_rare_tag(self) -> tuple[Q, Q] | None:
        """Return the other conditions and that for a tag of few runs, if runs must meet either; otherwise None."""
        tags = self.tags.required if self.tags is not None and self.tags.is_null_ is None else []
        if self.operator is not Operator.or_ or len(tags) != 1:
            return None
        others = self.model_copy(update={"tags": None}).condition()
        tagged = of_rare_tag(self.tag_rows, tags[0]) if others else None
        return (others, tagged) if tagged else None

    @property
    def has_no_tags(self) -> bool:
        """Whether all runs that match are without tags."""
        leaf = self.tags
        asks_for_both = leaf is not None and leaf.all_ is not None and leaf.operator is Operator.or_
        return self.operator is Operator.and_ and leaf is not None and leaf.is_null_ is True and not asks_for_both


class OfProblem(Leaf):
    """Flow runs that failed by one of these problems in any attempt. Users type the first characters of an id."""

    any_: Ids | None = None
    startswith_: Annotated[str, Field(pattern="^[0-9a-f]{1,32}$")] | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        for condition in super().conditions("problem_id"):
            occurrences = Occurrence.objects.filter(condition, is_consequence=False)
            yield Q(pk__in=occurrences.values("run_id"))


class FlowRunFilter(RunFilter):
    columns: ClassVar = {"parent_task_run_id": "parent_task_run"}
    runs: ClassVar = FlowRun
    tag_rows: ClassVar = FlowRunTag

    deployment_id: AnyIdOrNull | None = None
    work_queue_name: AnyTextOrNull | None = None
    flow_version: AnyText | None = None
    start_time: MomentRangeOrNull | None = None
    expected_start_time: MomentRange | None = None
    next_scheduled_start_time: MomentRange | None = None
    parent_flow_run_id: ParentFlowRun | None = None
    retry_of: RetryOf | None = None
    parent_task_run_id: AnyIdOrNull | None = None
    idempotency_key: AnyTextOrNot | None = None
    problem: OfProblem | None = None


class StandsForSubflow(Leaf):
    """Whether the task run stands for a nested flow run."""

    exists_: bool | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.exists_:
            # Few task runs do, and an index contains them.
            nested = FlowRun.objects.filter(parent_task_run__isnull=False)
            yield Q(pk__in=nested.values("parent_task_run"))
        elif self.exists_ is not None:
            yield ~Q(Exists(FlowRun.objects.filter(parent_task_run=OuterRef("pk"))))


class OfFlowRun(Leaf):
    """Task runs of these flow runs, or of no flow run; the latter takes precedence."""

    operator: Operator = Operator.and_
    any_: Ids | None = None
    is_null_: bool | None = False

    def conditions(self, column: str) -> Iterable[Q]:
        if self.is_null_:
            yield Q(flow_run__isnull=True)
        elif self.any_ is not None:
            yield Q(flow_run__in=self.any_)


class TaskRunFilter(RunFilter):
    runs: ClassVar = TaskRun
    tag_rows: ClassVar = TaskRunTag

    start_time: MomentRangeOrNull | None = None
    subflow_runs: StandsForSubflow | None = None
    flow_run_id: OfFlowRun | None = None


class IsScheduleActive(YesOrNo):
    """The opposite of `paused`, under the name that older clients use."""

    def conditions(self, column: str) -> Iterable[Q]:
        if self.eq_ is not None:
            yield Q(paused=not self.eq_)


class DeploymentFilter(Filter):
    id: AnyId | None = None
    name: NameMatch | None = None
    paused: YesOrNo | None = None
    is_schedule_active: IsScheduleActive | None = None
    tags: TagsMatch | None = None
    work_queue_name: AnyText | None = None


class WorkPoolFilter(Filter):
    id: AnyId | None = None
    name: AnyText | None = None
    type: AnyText | None = None


class QueueName(AnyText):
    startswith_: Annotated[list[Text255], Field(max_length=100)] | None = None

    def conditions(self, column: str) -> Iterable[Q]:
        if self.any_ is not None:
            yield Q(name__in=self.any_)
        if self.startswith_ is not None:
            prefixes = Q(pk__in=[])
            for prefix in self.startswith_:
                prefixes |= Q(name__istartswith=prefix)
            yield prefixes


class WorkQueueFilter(Filter):
    id: AnyId | None = None
    name: QueueName | None = None


class LevelRange(Leaf):
    ge_: Int | None = None
    le_: Int | None = None


class LogFilter(Filter):
    level: LevelRange | None = None
    timestamp: MomentRange | None = None
    flow_run_id: AnyId | None = None
    task_run_id: AnyId | None = None


class ArtifactFilter(Filter):
    id: AnyId | None = None
    key: KeyMatch | None = None
    flow_run_id: AnyId | None = None
    task_run_id: AnyId | None = None
    type: AnyTextOrNot | None = None


class ArtifactCollectionFilter(Filter):
    """Conditions on the newest artifact of each key."""

    columns: ClassVar = {"latest_id": "id"}

    latest_id: AnyId | None = None
    key: KeyMatch | None = None
    flow_run_id: AnyId | None = None
    task_run_id: AnyId | None = None
    type: AnyTextOrNot | None = None
