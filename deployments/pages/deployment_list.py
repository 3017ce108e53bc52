"""The list of deployments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse

from deployments.pages.selectors.deployment_lines import (
    DeploymentFilter,
    Health,
    LineCursor,
    deployments_page,
    deployments_without,
)
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.database.replica import may_lag
from orion_site.live.pages import live_page
from runs.pages.filtering import (
    MOST_WORDS,
    Chip,
    address_after,
    address_with,
    address_without,
    blamed,
    chips_of_tags,
    tags_in,
)
from runs.pages.saved_views import begins_with_default, views_above

SHOWN = {"": "Any state", "failing": "Last run failed", "late": "Late", "paused": "Paused", "active": "Not paused"}
ORDERS = {"": "Worst first", "name": "By name"}
CHIPS = {"q": "name", "flow": "flow", "show": "state"}


@requires(Action.READ_DEPLOYMENTS)
@may_lag
@begins_with_default("deployments")
@live_page
def deployments(request: HttpRequest) -> HttpResponse:
    problems: list[str] = []
    values, tags = _values(request.GET), tags_in(request.GET, problems)
    after = LineCursor.read(request.GET.get("after", ""))
    now = current_time()
    found = deployments_page(wanted=_wanted(values, tags), after=after, now=now)
    views, chips = views_above(request, "deployments"), _chips(values, request.GET, tags)
    blamable = chips[:MOST_WORDS] if not found.lines and after is None else []
    counts = deployments_without(_wanted_without(blamable), now) if blamable else []
    context = {
        "section": "deployments",
        "views": views,
        "without": blamed(blamable, counts, views.everything),
        "found": found,
        "counts": _linked_counts(found.counts, request.GET),
        "values": values,
        "tags": tags,
        "chips": chips,
        "problems": problems,
        "states": SHOWN,
        "orders": ORDERS,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
        # Not the full path, because a part of the page that htmx loads separately must have the same links.
        "here": f"{request.path}?{request.GET.urlencode()}",
        "address": request.build_absolute_uri("/api"),
    }
    return TemplateResponse(request, "deployments/deployments.html", context)


def _values(query: QueryDict) -> dict[str, str]:
    return {name: query.get(name, "").strip() for name in ("q", "flow", "show", "sort")}


def _wanted_without(chips: Sequence[Chip]) -> list[DeploymentFilter]:
    others = [QueryDict(chip.without.removeprefix("?")) for chip in chips]
    return [_wanted(_values(query), tags_in(query, [])) for query in others]


def _wanted(values: dict[str, str], tags: Sequence[str]) -> DeploymentFilter:
    shown = values["show"]
    return DeploymentFilter(
        name=values["q"],
        flow=values["flow"],
        tags=tags,
        paused={"paused": True, "active": False}.get(shown),
        health=Health(shown) if shown in {"failing", "late"} else None,
        worst_first=values["sort"] != "name",
    )


@dataclass(frozen=True, slots=True)
class LinkedCount:
    """A number, with a link to the list of that many rows."""

    number: int
    words: str
    address: str
    state_type: str


def _linked_counts(counts: dict[str, int], query: QueryDict) -> list[LinkedCount]:
    # If one is selected, do not show the others; the form and the chips clear the selection.
    if query.get("show"):
        return []
    looks = {"failing": ("failing", "FAILED"), "late": ("late", "SCHEDULED"), "paused": ("paused", "PAUSED")}
    return [
        LinkedCount(counts[name], words, address_with(query, show=name), state_type)
        for name, (words, state_type) in looks.items()
        if counts[name]
    ]


def _chips(values: dict[str, str], query: QueryDict, tags: Sequence[str]) -> list[Chip]:
    words = {**values, "show": SHOWN.get(values["show"], values["show"])}
    chips = [Chip(label, words[name], address_without(query, name)) for name, label in CHIPS.items() if values[name]]
    return [*chips, *chips_of_tags(query, tags)]
