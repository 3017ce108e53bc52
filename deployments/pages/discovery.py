"""New deployments without code: name a source, let an agent find its flows, and deploy one of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse

from deployments.definitions.core.code_sources import CodeSource
from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.discovery import ask_for_flows, deploy_found_flow
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.pages.deployment_edit import BadParameters
from deployments.pages.discovery_forms import KINDS, SEPARATOR, FoundFlowForm, SourceForm
from deployments.pages.selectors.discovery import Search, queues_to_choose, search_for_flows
from deployments.pages.work import command
from orchestration.authors import made_by
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.submitting import saved
from orion_site.live.pages import live_page
from orionflow.contract.discovery import FoundFlow
from runs.models import FlowRun


@requires(Action.CHANGE_DEPLOYMENTS)
def new_deployment(request: HttpRequest) -> HttpResponse:
    form = SourceForm(request.POST or None, queues=queues_to_choose())
    made: list[FlowRun] = []
    if saved(form, lambda _: made.append(_ask(form))):
        return redirect("deployments:found-flows", made[0].pk)
    context = {"section": "deployments", "form": form, "command": command(request)}
    return render(request, "deployments/new.html", context, status=422 if form.errors else 200)


def _ask(form: SourceForm) -> FlowRun:
    pool, queue = form.pool_and_queue()
    return ask_for_flows(source=form.source(), pool_name=pool, queue_name=queue, now=current_time())


@requires(Action.CHANGE_DEPLOYMENTS)
@live_page
def found_flows(request: HttpRequest, run_id: UUID) -> HttpResponse:
    found = _search(run_id)
    context = {
        "section": "deployments",
        "found": found,
        "run": found.run,
        "kind": dict(KINDS).get(found.source.kind.value, "") if found.source else "",
        "command": command(request, found.queue),
    }
    return TemplateResponse(request, "deployments/found_flows.html", context)


@requires(Action.CHANGE_DEPLOYMENTS)
def deploy_flow(request: HttpRequest, run_id: UUID, number: int) -> HttpResponse:
    found = _search(run_id)
    flows = found.answer.flows if found.answer else []
    if number >= len(flows) or found.source is None:
        raise Http404
    one, source = flows[number], found.source
    form = FoundFlowForm(request.POST or None, initial=_initial(found, one), queues=queues_to_choose())
    made: list[UUID] = []
    if saved(form, lambda values: made.append(_deploy(one, source, form, values))):
        messages.success(request, f"{one.name}/{form.cleaned_data['name']} is deployed.")
        return _run(request, made[0]) if request.POST.get("do") == "run" else _opened(made[0])
    context = {
        "section": "deployments",
        "form": form,
        "flow": one,
        "back": reverse("deployments:found-flows", args=[run_id]),
    }
    return render(request, "deployments/deploy_flow.html", context, status=422 if form.errors else 200)


def _search(run_id: UUID) -> Search:
    found = search_for_flows(run_id=run_id, now=current_time())
    if found is None:
        raise Http404
    return found


def _initial(found: Search, one: FoundFlow) -> dict[str, Any]:
    queue = found.queue
    own = SEPARATOR.join((queue.work_pool.name, queue.name)) if queue and queue.work_pool else ""
    return {"queue": own, "description": one.description, "parameters": {}}


def _deploy(one: FoundFlow, source: CodeSource, form: FoundFlowForm, values: dict[str, Any]) -> UUID:
    pool, queue = form.pool_and_queue()
    columns = {name: values[name] for name in ("parameters", "description")}
    # Without a schema there is nothing to enforce.
    columns["enforce_parameter_schema"] = values["enforce_parameter_schema"] and bool(one.parameters)
    try:
        return deploy_found_flow(
            found=one,
            source=source,
            name=values["name"],
            columns=columns,
            schedules=form.schedules(),
            pool_name=pool,
            queue_name=queue,
            now=current_time(),
        )
    except BadTemplate as error:
        raise BadParameters(reason=str(error)) from error


def _run(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    """Run the deployment now. If parameters are missing, open the form for them."""
    try:
        run, _ = create_run_of_deployment(
            deployment_id=deployment_id, options=RunOptions(created_by=made_by()), state=None, now=current_time()
        )
    except (BadTemplate, DomainError) as error:
        messages.warning(request, str(error))
        return redirect("deployments:run-with", deployment_id)
    return redirect("runs:run", run.pk)


def _opened(deployment_id: UUID) -> HttpResponse:
    return redirect("deployments:deployment", deployment_id)
