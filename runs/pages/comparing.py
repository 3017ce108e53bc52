"""Pages that compare two runs, or many runs with the others: differences, and values in common."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from runs.comparing.core.compared import Difference
from runs.comparing.selectors import comparison_of, last_good_before
from runs.in_common.core.findings import CERTAINTY, Finding, percent
from runs.in_common.selectors import LOOKED_AT, Compared, what_is_common
from runs.pages.filtering import address_with, read_filter
from runs.pages.selectors.bulk import chosen_runs

# Groups of subjects of differences, in the order of the page.
GROUPS = {
    "Code": ("flow", "version", "commit", "files", "deployment_version", "deployment"),
    "Environment": ("python", "platform", "package"),
    "Parameters": ("parameter",),
    "Where and how": ("queue", "agent", "host", "tags", "attempts"),
    "Time": ("duration",),
}


@dataclass(frozen=True, slots=True)
class Group:
    """Differences of one kind, with their heading."""

    words: str
    differences: list[Difference]


@requires(Action.READ_RUNS)
def compare(request: HttpRequest, base_id: UUID, run_id: UUID) -> HttpResponse:
    found = comparison_of(before_id=base_id, after_id=run_id)
    if found is None:
        raise Http404
    groups = [Group(words, [one for one in found.differences if one.subject in of]) for words, of in GROUPS.items()]
    context = {
        "section": "runs",
        "found": found,
        "groups": [group for group in groups if group.differences],
        "title": f"{found.before.name} and {found.after.name} compared · Orion",
    }
    return TemplateResponse(request, "runs/compare.html", context)


@requires(Action.READ_RUNS)
def compare_with_last_good(request: HttpRequest, run_id: UUID) -> HttpResponse:
    base = last_good_before(run_id=run_id)
    if base is None:
        raise Http404
    return redirect("runs:compare", base_id=base, run_id=run_id)


@dataclass(frozen=True, slots=True)
class FindingLine:
    """A finding as a row, with the address of a list of the chosen runs that have its value."""

    finding: Finding
    address: str
    listed: int

    @property
    def chosen_percent(self) -> str:
        return percent(self.finding.chosen_share)

    @property
    def others_percent(self) -> str:
        return percent(self.finding.others_share)

    @property
    def certainty(self) -> str:
        return f"{self.finding.p:.2g}" if self.finding.p >= 1e-6 else "< 0.000001"


@requires(Action.READ_RUNS)
@may_lag
def common(request: HttpRequest) -> HttpResponse:
    requested, now = read_filter(request.GET), current_time()
    chosen = chosen_runs(wanted=requested.wanted, now=now, most=LOOKED_AT)
    found = what_is_common(
        run_ids=[run_id for run_id, _ in chosen.runs], since=requested.wanted.starts_after(now) or chosen.reach, now=now
    )
    context = {
        "section": "runs",
        "requested": requested,
        "is_cut": chosen.is_cut,
        "compared": found,
        "lines": [_line(one, found) for one in found.found.findings],
        "certainty": f"{CERTAINTY:.0%}",
        "back": address_with(request.GET),
    }
    return TemplateResponse(request, "runs/common.html", context)


def _line(one: Finding, compared: Compared) -> FindingLine:
    ids = [str(compared.chosen[place]) for place in one.places]
    return FindingLine(one, f"?{urlencode({'id': ','.join(ids)})}", len(ids))
