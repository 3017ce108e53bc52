"""Agents: which are connected, what they execute, and how to remove one from the list."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST

from deployments.dispatch.services.agents import delete_worker
from deployments.pages.selectors.agents import agent_page, agents_page
from deployments.pages.work import command
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.submitting import attempt
from orion_site.live.pages import live_page
from orionflow.contract.names import quoted
from runs.pages.filtering import address_after
from runs.pages.selectors.keyset import Cursor

TABS = {"live": "Connected", "gone": "Gone"}


@requires(Action.READ_QUEUES)
@live_page
def agents(request: HttpRequest) -> HttpResponse:
    tab = "gone" if request.GET.get("tab") == "gone" else "live"
    after = Cursor.read(request.GET.get("after", ""))
    found = agents_page(gone=tab == "gone", after=after, now=current_time())
    context = {
        "section": "agents",
        "found": found,
        "tab": tab,
        "tabs": TABS,
        "command": command(request),
        "is_first": "after" not in request.GET,
        "first": f"?tab={tab}",
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "deployments/agents.html", context)


@requires(Action.READ_QUEUES)
@live_page
def agent(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    found = agent_page(agent_id=agent_id, now=current_time())
    if found is None:
        raise Http404
    return TemplateResponse(request, "deployments/agent.html", {"section": "agents", "found": found})


@requires(Action.CHANGE_QUEUES)
@require_POST
def forget_agent(request: HttpRequest, agent_id: UUID) -> HttpResponse:
    found = agent_page(agent_id=agent_id, now=current_time())
    if found is None:
        raise Http404
    one = found.line.agent
    attempt(
        request,
        lambda: delete_worker(pool_name=one.work_pool.name, name=one.name),
        done=f"Agent {quoted(one.name)} was removed from the list.",
    )
    return redirect("deployments:agents")
