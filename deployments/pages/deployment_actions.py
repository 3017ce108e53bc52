"""Actions on deployments: each is a POST that calls the same service as the API, and redirects back."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.services.deployments import adopt_deployment, delete_deployment
from deployments.definitions.services.only_schedule import pause_or_resume
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.errors import DeploymentNotFound, ParametersMisfit
from orchestration.authors import made_by
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.submitting import page_to_return_to


@requires(Action.RUN_DEPLOYMENTS)
@require_POST
def run_now(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    """Create a run that is due now, with the deployment's own parameters."""
    try:
        run, _ = create_run_of_deployment(
            deployment_id=deployment_id, options=RunOptions(created_by=made_by()), state=None, now=current_time()
        )
    except DeploymentNotFound as error:
        raise Http404 from error
    except (BadTemplate, ParametersMisfit) as error:
        # Required parameters without a default must be entered.
        messages.warning(request, str(error))
        return redirect("deployments:run-with", deployment_id)
    except DomainError as error:
        messages.error(request, str(error))
        return back(request)
    link = format_html('<a href="{}">{}</a>', reverse("runs:run", args=[run.pk]), run.name)
    messages.success(request, format_html("Run {} is due now.", link))
    return back(request)


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def pause(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    _set_paused(deployment_id, paused=True)
    messages.success(request, "The deployment is paused: its schedules plan nothing. It can still be run by hand.")
    return back(request)


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def resume(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    _set_paused(deployment_id, paused=False)
    messages.success(request, "The deployment is no longer paused: its schedules plan runs again.")
    return back(request)


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def adopt(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    try:
        adopt_deployment(deployment_id=deployment_id, now=current_time())
    except DeploymentNotFound as error:
        raise Http404 from error
    messages.success(request, "Runs of this deployment act by your rights from now on.")
    return back(request)


@requires(Action.CHANGE_DEPLOYMENTS)
@require_POST
def delete(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    try:
        delete_deployment(deployment_id=deployment_id)
    except DeploymentNotFound as error:
        raise Http404 from error
    messages.success(request, "The deployment was deleted. Its runs that had begun are still in the list of runs.")
    return redirect("deployments:deployments")


def _set_paused(deployment_id: UUID, *, paused: bool) -> None:
    try:
        pause_or_resume(deployment_id=deployment_id, paused=paused, now=current_time())
    except DeploymentNotFound as error:
        raise Http404 from error


def back(request: HttpRequest) -> HttpResponse:
    """Redirect to the page of this site that the form names, or to the list."""
    return redirect(page_to_return_to(request) or "deployments:deployments")
