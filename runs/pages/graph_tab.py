"""The tab of a flow run's page that shows which data passed between tasks, and the same picture as a file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse

from orion_site.accounts.permissions import Action, requires
from runs.models import FlowRun
from runs.pages.graph import VIEWS, Addresses, drawn_graph, of_file, rows_of
from runs.pages.selectors.graph import TASK_RUNS_APART, TASK_RUNS_READ, Chosen, chosen_of, graph_of
from runs.pages.selectors.run import flow_run_facts
from runs.templatetags.states import colour, look

BY = (("task", "Tasks"), ("run", "Task runs"))


def graph_tab(request: HttpRequest, run: FlowRun) -> dict[str, Any]:
    shown = graph_shown(request, run)
    graph, addresses = shown["graph"], shown["addresses"]
    kept = "" if graph.chosen is None else graph.nodes[graph.chosen].key
    chosen = chosen_of(graph=graph)
    context = {
        **shown,
        "view_choices": [(addresses.of(view=one, node=kept), words, one) for one, words in VIEWS.items()],
        "by_choices": [(addresses.of(by=one, open=""), words, (one == "run") == graph.is_apart) for one, words in BY],
        "most_read": TASK_RUNS_READ,
        "most_apart": TASK_RUNS_APART,
        "chosen": chosen,
        **(panel_of(chosen, addresses) if chosen else {}),
    }
    if addresses.view == "table":
        return {**context, "rows": list(rows_of(graph, addresses))}
    image = f"{reverse('runs:graph-image', args=[run.id])}{addresses.of(tab='', node=kept)}"
    return {**context, "picture": drawn_graph(graph, addresses), "icons": static("img/icons.svg"), "image": image}


def graph_shown(request: HttpRequest, run: FlowRun, *, leads: bool = True) -> dict[str, Any]:
    """Return the context of the graph, for the tab and for the saved file."""
    view, by, opened = (request.GET.get(name, "") for name in ("view", "by", "open"))
    view, by = view if view in VIEWS else "graph", by if by in dict(BY) else ""
    graph = graph_of(run=run, apart=by == "run" if by else None, opened=opened, chosen=request.GET.get("node", ""))
    icon = look(run.state_type, run.state_name)[0]
    return {
        "graph": graph,
        "view": view,
        "addresses": Addresses(run, view, by, opened, leads),
        "run_icon": icon,
        "run_colour": colour(run.state_type),
    }


def panel_of(chosen: Chosen, addresses: Addresses) -> dict[str, Any]:
    node = chosen.node
    opens_apart = node.run is None and addresses.opened != node.task_key
    return {
        "sources": [(link, addresses.node(link.node)) for link in chosen.sources],
        "targets": [(link, addresses.node(link.node)) for link in chosen.targets],
        "unchosen": addresses.of(),
        "chosen_opens": addresses.opens(node),
        "opened_address": addresses.of(by="run", open=node.task_key) if opens_apart else "",
    }


@requires(Action.READ_RUNS)
def graph_image(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Return the graph as an SVG file that contains everything that it needs."""
    run = flow_run_facts(run_id=run_id)
    if run is None:
        raise Http404
    shown = graph_shown(request, run, leads=False)
    context = {
        **shown,
        "run": run,
        "picture": drawn_graph(shown["graph"], shown["addresses"]),
        "is_file": True,
        "icons": "",
        **of_file(),
    }
    answer = render(request, "runs/_graph_svg.html", context, content_type="image/svg+xml")
    answer["Content-Disposition"] = f'attachment; filename="{shown["view"]}-of-{run.id}.svg"'
    return answer
