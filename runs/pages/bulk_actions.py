"""Pages of bulk actions: the list of them, and the progress of one, run by run."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.live.pages import live_page
from runs.bulk_actions.services import stop_bulk_action
from runs.errors import BulkActionNotFound
from runs.models import BulkAction
from runs.pages.bulk import WORDS
from runs.pages.filtering import Chip, address_after, read_filter
from runs.pages.selectors.bulk import bulk_actions_page, bulk_page
from runs.pages.selectors.keyset import Count, Cursor

TABS = {"done": "Done", "refused": "Refused", "failed": "Failed", "left": "Left"}


@dataclass(frozen=True, slots=True)
class BulkLine:
    """A bulk action with its texts, its bar and its counts."""

    action: BulkAction

    @property
    def words(self) -> str:
        return WORDS[self.action.action]

    @property
    def total(self) -> Count:
        return Count(self.action.total)

    @property
    def title(self) -> str:
        """Return the title of the browser's tab, with the progress while the action is active."""
        one = self.action
        stands = f"{one.tried} of {one.total}" if one.status == "active" else one.status
        return f"{self.words} {self.total} run{'' if one.total == 1 else 's'} · {stands} · Orion"

    @property
    def bars(self) -> list[tuple[str, str, str]]:
        """Return the parts of the bar: colour, start and width in percent."""
        bars, begin = [], 0.0
        for colour, number in (
            ("s-completed", self.action.done),
            ("s-scheduled", self.action.refused),
            ("s-failed", self.action.failed),
        ):
            width = 100 * number / self.action.total
            if number:
                bars.append((colour, f"{begin:.2f}", f"{width:.2f}"))
            begin += width
        return bars

    @property
    def chips(self) -> list[Chip]:
        """Return the filter as chips, as on the list of runs; none for a filter of the API."""
        return read_filter(QueryDict(self.action.filter.get("query", ""))).chips

    @property
    def list_address(self) -> str:
        """Return the address of the list from which the action was started."""
        query = self.action.filter.get("query")
        return "" if query is None else f"{reverse('runs:runs')}?{query}"

    @property
    def counted(self) -> list[tuple[str, str, Count]]:
        """Return the outcomes that occurred: tab, label and count of each."""
        numbers = ((key, words, Count(getattr(self.action, key))) for key, words in TABS.items())
        return [one for one in numbers if one[2].number]


@requires(Action.READ_RUNS)
@live_page
def bulk_actions(request: HttpRequest) -> HttpResponse:
    found = bulk_actions_page(after=Cursor.read(request.GET.get("after", "")))
    context = {
        "section": "runs",
        "lines": [BulkLine(one) for one in found.rows],
        "is_first": "after" not in request.GET,
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "runs/bulk_actions.html", context)


@requires(Action.READ_RUNS)
@live_page
def bulk_action(request: HttpRequest, bulk_id: UUID) -> HttpResponse:
    tab, after = request.GET.get("tab", ""), request.GET.get("after", "")
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else None
    found = bulk_page(bulk_id=bulk_id, outcome=tab if tab in TABS else None, after=number)
    if found is None:
        raise Http404
    context = {
        "section": "runs",
        "found": found,
        "one": found.action,
        "line": BulkLine(found.action),
        "tab": found.outcome,
        "tabs": TABS,
        "live_query": {"tab": found.outcome},
        "is_first": number is None,
        "first": f"?tab={found.outcome}",
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "runs/bulk_action.html", context)


@requires(Action.CHANGE_RUNS)
@require_POST
def stop(request: HttpRequest, bulk_id: UUID) -> HttpResponse:
    try:
        stopped = stop_bulk_action(bulk_id=bulk_id, now=current_time())
    except BulkActionNotFound as error:
        raise Http404 from error
    if stopped:
        messages.success(request, "Stopped: no further run is changed.")
    else:
        messages.warning(request, "There was nothing left to stop.")
    return redirect("runs:bulk-action", bulk_id)
