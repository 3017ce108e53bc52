"""Search for objects whose name contains a text, a few of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.urls import reverse

from deployments.models import BlockDocument, Deployment, Variable, Worker, WorkPool, WorkQueue
from events.models import Automation
from orion_site.accounts.permissions import Action, may, who_asks
from runs.models import ArtifactCollection, Flow, FlowRun
from runs.pages.search import address_of_id

# The most results of each kind.
MOST = 5
# Parts of run names have no index; this many runs are read, the newest first.
RUNS_LOOKED_AT = 5_000
PAGES = {
    "Home": ("home", "h"),
    "Runs": ("runs:runs", "r"),
    "Task runs": ("runs:task-runs", ""),
    "Flows": ("runs:flows", "f"),
    "Deployments": ("deployments:deployments", "d"),
    "Schedule": ("deployments:schedule", "s"),
    "Problems": ("runs:problems", "p"),
    "Work": ("deployments:work", "w"),
    "Agents": ("deployments:agents", "a"),
    "Limits": ("deployments:limits", "l"),
    "Events": ("events:events", "e"),
    "Automations": ("events:automations", "u"),
    "Notifications": ("events:notifications", "n"),
    "Blocks": ("deployments:blocks", "b"),
    "Variables": ("deployments:variables", "v"),
    "Artifacts": ("runs:artifacts", "t"),
    "Status": ("status", "i"),
    "Audit log": ("audit", ""),
    "Settings": ("settings", ","),
    "Admin": ("admin:index", ""),
    "Help": ("help", ""),
    "API": ("docs", ""),
}


@dataclass(frozen=True, slots=True)
class Found:
    """A line of the result: the address that it leads to, or to which it sends a POST."""

    kind: str
    words: str
    address: str
    icon: str = ""
    state_type: str = ""
    state_name: str = ""
    keys: str = ""
    is_action: bool = False
    # What is asked before an action that cannot be undone.
    question: str = ""


def found_by(text: str, *, now: datetime) -> Sequence[Found]:
    """Return pages and objects that match the text; without a text, all pages."""
    pages = [
        Found("Page", words, reverse(name), f"nav-{_icon(words)}", keys=f"g {key}" if key else "")
        for words, (name, key) in PAGES.items()
        if text.lower() in words.lower()
    ]
    if not text:
        return pages
    if address := address_of_id(text):
        return [Found("Id", "Open what this id names", address, "nav-search")]
    everywhere = Found(
        "Runs", f"All runs with {text!r}", f"{reverse('runs:runs')}?{urlencode({'q': text})}", "nav-runs"
    )
    return [*pages, *_objects(text), *_runs(text, now), everywhere]


def _icon(page: str) -> str:
    return {"API": "docs"}.get(page, page.lower())


def _objects(text: str) -> list[Found]:
    deployments = Deployment.objects.select_related("flow").filter(_in_words(text, "name", "flow__name"))
    blocks = BlockDocument.objects.select_related("block_type").filter(is_anonymous=False, name__icontains=text)
    queues = WorkQueue.objects.select_related("work_pool").filter(name__icontains=text)
    automations = _few(_named(Automation, text)) if may(who_asks(), Action.READ_AUTOMATIONS) else ()
    work = reverse("deployments:work")
    return [
        *(
            Found("Deployment", f"{one.flow.name}/{one.name}", _page("deployments:deployment", one), "nav-deployments")
            for one in _few(deployments)
        ),
        *(Found("Flow", one.name, _page("runs:flow", one), "nav-flows") for one in _few(_named(Flow, text))),
        *(Found("Pool", one.name, f"{work}#pool-{one.pk}", "nav-work") for one in _few(_named(WorkPool, text))),
        *(
            Found("Queue", f"{one.work_pool.name}/{one.name}", _page("deployments:queue", one), "nav-work")
            for one in _few(queues)
        ),
        *(
            Found("Agent", one.name, _page("deployments:agent", one), "nav-agents")
            for one in _few(_named(Worker, text))
        ),
        *(
            Found("Block", f"{one.block_type.slug}/{one.name}", _page("deployments:block", one), "nav-blocks")
            for one in _few(blocks)
        ),
        *(
            Found("Variable", one.name, _page("deployments:edit-variable", one), "nav-variables")
            for one in _few(_named(Variable, text))
        ),
        *(Found("Automation", one.name, _page("events:automation", one), "nav-automations") for one in automations),
        *(
            Found("Artifact", one.key, reverse("runs:artifact", args=[one.latest_id]), "nav-artifacts")
            for one in _few(ArtifactCollection.objects.filter(key__icontains=text))
        ),
    ]


def _runs(text: str, now: datetime) -> list[Found]:
    newest = FlowRun.objects.filter(expected_start_time__lte=now).order_by("-expected_start_time", "-id")
    matching = FlowRun.objects.filter(pk__in=newest.values("pk")[:RUNS_LOOKED_AT], name__icontains=text)
    shown = matching.select_related("flow").only("name", "state_type", "state_name", "flow__name")
    return [
        Found(
            "Run",
            f"{one.flow.name} › {one.name}",
            _page("runs:run", one),
            state_type=one.state_type or "",
            state_name=one.state_name or "",
        )
        for one in shown.order_by("-expected_start_time", "-id")[:MOST]
    ]


def _named(model: Any, text: str) -> QuerySet[Any]:
    found: QuerySet[Any] = model.objects.filter(name__icontains=text)
    return found


def _in_words(text: str, *fields: str) -> Q:
    """Return a condition that requires each word in one of the fields: `etl/prod` and `etl prod` find a deployment."""
    wanted = Q()
    for word in text.replace("/", " ").split()[:5]:
        any_field = Q()
        for field in fields:
            any_field |= Q(**{f"{field}__icontains": word})
        wanted &= any_field
    return wanted


def _few(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.order_by("name" if hasattr(rows.model, "name") else "key")[:MOST]


def _page(name: str, row: Any) -> str:
    return reverse(name, args=[row.pk])
