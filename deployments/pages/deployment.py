"""The page of a deployment: a head, and one of several tabs below it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from deployments.models import Deployment
from deployments.pages.days import bounds_of, day_of
from deployments.pages.deployment_forms import OVERLAPS
from deployments.pages.selectors import deployment as selectors
from deployments.pages.selectors.deployment_lines import DeploymentLine, Health
from deployments.pages.versions import moment_of, versions_of
from orchestration.authors import refusal
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.schema_fields import required_of
from orion_site.live.pages import live_page
from runs.pages.filtering import STATE_CHOICES, address_after, address_without
from runs.pages.query_box import with_states
from runs.pages.selectors.keyset import Cursor
from runs.pages.selectors.runs import RunFilter
from runs.pages.selectors.task_grid import task_grid

TABS = {
    "overview": "Overview",
    "runs": "Runs",
    "upcoming": "Upcoming",
    "schedules": "Schedules",
    "parameters": "Parameters",
    "versions": "Versions",
}


# Periods whose times the home page and the schedule count. They lead here.
WITHIN = {
    "12h": ("12 hours", timedelta(hours=12)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
}


@requires(Action.READ_DEPLOYMENTS)
@live_page
def deployment(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    line = selectors.deployment_line(deployment_id=deployment_id, now=current_time())
    if line is None:
        raise Http404
    asked = request.GET.get("tab", "")
    tab = asked if asked in TABS else "overview"
    context = {
        "section": "deployments",
        "title": _title(line),
        "line": line,
        "one": line.deployment,
        "here": f"{request.path}?{request.GET.urlencode()}",
        "tab": tab,
        "tabs": TABS,
        "planned": selectors.upcoming_count(deployment_id=deployment_id),
        "policy": policy_of(line.deployment),
        **_tab(request, line, tab),
    }
    return TemplateResponse(request, "deployments/deployment.html", context)


def _title(line: DeploymentLine) -> str:
    one = line.deployment
    words = "paused" if one.paused else line.health.value if line.health in {Health.FAILING, Health.LATE} else ""
    return f"{one.flow.name}/{one.name}{f' ({words})' if words else ''} · Orion"


def _tab(request: HttpRequest, line: DeploymentLine, tab: str) -> dict[str, Any]:
    one, now = line.deployment, current_time()
    after = Cursor.read(request.GET.get("after", ""))
    match tab:
        case "overview":
            schedules = selectors.shown_schedules(deployment_id=one.pk, now=now)
            refused = refusal(one.author, Action.RUN_DEPLOYMENTS, one._meta.db_table, one.pk)
            return {"schedules": schedules, "blocks": selectors.block_names(one), "refused": refused}
        case "runs":
            if request.GET.get("show") == "late":
                late = line.on_time.late if line.on_time else []
                return {"found": selectors.chosen_runs([run.pk for run in late]), "shows_late": True}
            state, problems = request.GET.get("state", "").strip().lower(), list[str]()
            wanted = with_states(RunFilter(deployment=one.pk), state, problems)
            since, until = (moment_of(request.GET.get(name, "")) for name in ("from", "to"))
            due = (since, until) if since else None
            found = selectors.runs_of_deployment(wanted=wanted, due=due, after=after, now=now)
            # Planned ones have a tab of their own.
            choices = [choice for choice in STATE_CHOICES if choice[0] not in {"scheduled", "planned"}]
            shown: dict[str, Any] = {"found": found, "state": state, "state_choices": choices, "due": due}
            shown["problems"] = problems
            shown["grid"] = task_grid(line.last_runs) if after is None and due is None else None
            shown["first"] = address_without(request.GET)
            return {**shown, **_paged(request, found.page.after)}
        case "upcoming":
            if (within := request.GET.get("within")) in WITHIN:
                words, span = WITHIN[within]
                ahead = selectors.ahead_of(deployment_id=one.pk, now=now, until=now + span)
                return {"ahead": ahead, "within": f"in the next {words}"}
            if day := day_of(request.GET.get("day", "")):
                begin, end = bounds_of(day)
                ahead = selectors.ahead_of(deployment_id=one.pk, now=now, since=begin, until=end)
                return {"ahead": ahead, "within": f"on {day:%A}, {day.day} {day:%B %Y}, {begin:%Z}"}
            page = selectors.upcoming_runs(deployment_id=one.pk, after=after)
            return {"page": page, **_paged(request, page.after)}
        case "schedules":
            return {"schedules": selectors.shown_schedules(deployment_id=one.pk, now=now)}
        case "parameters":
            return {"parameters": parameters_of(one)}
        case "versions":
            return {"versions": versions_of(one, request.GET, now=now), "is_first": "after" not in request.GET}
    return {}


def _paged(request: HttpRequest, after: Cursor | None) -> dict[str, Any]:
    return {"is_first": "after" not in request.GET, "next": address_after(request.GET, after)}


def policy_of(one: Deployment) -> list[str]:
    """Return the settings of runs that differ from the defaults, as chips."""
    chips = [OVERLAPS.get(one.overlap, one.overlap)] if one.overlap != "allow" else []
    if one.concurrency_limit is not None:
        chips.append(f"At most {one.concurrency_limit} at once")
    if one.crash_retries:
        chips.append(f"Tried again after a crash, up to {one.crash_retries}×")
    if one.result_storage:
        chips.append(f"Results in {one.result_storage}")
    if one.enforce_parameter_schema:
        chips.append("Parameters are checked")
    return chips


def parameters_of(one: Deployment) -> list[dict[str, Any]]:
    """Return each parameter in the schema or the deployment: its type, its value, and whether it is required."""
    schema = one.parameter_openapi_schema or {}
    known = schema.get("properties")
    properties: dict[str, Any] = known if isinstance(known, dict) else {}
    required = required_of(schema)
    rows = []
    for name in dict.fromkeys([*properties, *one.parameters]):
        own = properties.get(name)
        described: dict[str, Any] = own if isinstance(own, dict) else {}
        row = {"name": name, "type": described.get("type") or "", "description": described.get("description") or ""}
        row["is_required"] = name in required
        row["has_value"] = name in one.parameters or "default" in described
        row["value"] = one.parameters.get(name, described.get("default"))
        row["is_own"] = name in one.parameters
        rows.append(row)
    return rows
