"""Automations with their last firings, and the choices in their forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery

from deployments.models import BlockDocument, Deployment, WorkQueue
from events.models import ActionRun, Automation, Event
from runs.pages.selectors.keyset import Count as Capped
from runs.pages.selectors.keyset import Cursor, Page, capped_count, page_of
from runs.querysets import Literal

AUTOMATIONS_PER_PAGE = 100
FIRINGS_PER_PAGE = 50
CHOICES = 500
# The newest failed actions of all automations, which the list counts.
FAILURES_COUNTED = 5_000
OUTCOMES: Mapping[str, tuple[str, Q]] = {
    "failed": ("Failed", ~Q(error="")),
    "done": ("Done", Q(error="", done_at__isnull=False)),
    "to-do": ("To do", Q(done_at__isnull=True)),
}


@dataclass(frozen=True, slots=True)
class AutomationLine:
    automation: Automation
    last_fired: datetime | None
    failed: Capped


@dataclass(frozen=True, slots=True)
class AutomationsPage:
    lines: Sequence[AutomationLine]
    after: str


@dataclass(frozen=True, slots=True)
class FiringFilter:
    """The filter of firings. `outcome` is a key of `OUTCOMES`, or empty."""

    outcome: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AutomationPage:
    automation: Automation
    firings: Page[ActionRun]
    known_events: frozenset[str]
    waiting: Capped


def automations_page(*, name: str, after: str) -> AutomationsPage:
    """Return a page of automations, with two queries. The counts cover a week, because firings are kept that long.

    An automation may fire a million times in that week, so firings are only looked up, and failed ones counted up to a
    bound.
    """
    newest = ActionRun.objects.filter(automation=OuterRef("pk")).order_by("-created").values("created")[:1]
    rows = Automation.objects.annotate(last_fired=Subquery(newest)).order_by("name", "id")
    if name:
        rows = rows.filter(name__icontains=name)
    if after:
        last_name, _, last_id = after.rpartition("~")
        rows = rows.filter(Q(name__gt=last_name) | Q(name=last_name, id__gt=_uuid(last_id)))
    found = list(rows[: AUTOMATIONS_PER_PAGE + 1])
    shown = found[:AUTOMATIONS_PER_PAGE]
    failed = _failed_actions()
    is_cut = failed.total() >= FAILURES_COUNTED
    lines = [AutomationLine(one, vars(one)["last_fired"], Capped(failed[one.pk], capped=is_cut)) for one in shown]
    return AutomationsPage(lines, f"{shown[-1].name}~{shown[-1].pk}" if len(found) > AUTOMATIONS_PER_PAGE else "")


def _failed_actions() -> Counter[UUID]:
    """Return how many of the newest failed actions each automation has. One query, by the index of failures."""
    failed = ActionRun.objects.filter(~Q(error=Literal(""))).order_by("-created")
    return Counter(failed.values_list("automation_id", flat=True)[:FAILURES_COUNTED])


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def automation_page(
    *, automation_id: UUID, after: Cursor | None, wanted: FiringFilter | None = None
) -> AutomationPage | None:
    automation = Automation.objects.filter(pk=automation_id).first()
    if automation is None:
        return None
    firings = page_of(_firings(automation, wanted), by="created", after=after, size=FIRINGS_PER_PAGE)
    ids = {_uuid(str((firing.event or {}).get("id", ""))) for firing in firings.rows}
    known = frozenset(str(pk) for pk in Event.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return AutomationPage(automation, firings, known, capped_count(automation.trigger_states.all()))


def _firings(automation: Automation, wanted: FiringFilter | None) -> QuerySet[ActionRun]:
    firings = automation.action_runs.all()
    if wanted and wanted.since:
        firings = firings.filter(created__gte=wanted.since)
    if wanted and wanted.outcome:
        firings = firings.filter(OUTCOMES[wanted.outcome][1])
    return firings


def message_blocks() -> list[tuple[str, str]]:
    """Return the blocks that can send messages, as choices."""
    rows = BlockDocument.objects.select_related("block_type", "block_schema").filter(name__isnull=False)
    found = rows.only("name", "block_type__name", "block_schema__capabilities").order_by("block_type__name", "name")
    return [
        (str(one.pk), f"{one.block_type.name}: {one.name}")
        for one in found[:CHOICES]
        if "notify" in one.block_schema.capabilities
    ]


def deployment_choices() -> list[tuple[str, str]]:
    rows = Deployment.objects.select_related("flow").only("name", "flow__name").order_by("flow__name", "name")
    return [(str(one.pk), f"{one.flow.name}/{one.name}") for one in rows[:CHOICES]]


def queue_choices() -> list[tuple[str, str]]:
    rows = WorkQueue.objects.select_related("work_pool").only("name", "work_pool__name")
    found = rows.order_by("work_pool__name", "name")[:CHOICES]
    return [(str(one.pk), f"{one.work_pool.name}/{one.name}" if one.work_pool else one.name) for one in found]
