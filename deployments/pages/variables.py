"""Variables: short texts that flows and templates look up by name."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from deployments.blocks.services.variables import create_variable, delete_variable, update_variable
from deployments.models import Variable
from deployments.pages.forms import VariableForm
from deployments.pages.selectors.variables import variables_page
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.submitting import attempt, saved
from orionflow.contract.names import quoted
from runs.pages.filtering import address_after, address_without


@requires(Action.READ_VARIABLES)
def variables(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("q", "").strip()
    found = variables_page(name=name, after=request.GET.get("after", ""))
    context = {
        "section": "variables",
        "found": found,
        "name": name,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return render(request, "deployments/variables.html", context)


@requires(Action.CHANGE_VARIABLES)
def new_variable(request: HttpRequest) -> HttpResponse:
    form = VariableForm(request.POST or None)
    if saved(form, lambda values: create_variable(**values, now=current_time())):
        return redirect("deployments:variables")
    return _form(request, form, "New variable", "Create variable")


@requires(Action.CHANGE_VARIABLES)
def edit_variable(request: HttpRequest, variable_id: UUID) -> HttpResponse:
    variable = _variable(variable_id)
    initial = {"name": variable.name, "value": variable.value, "tags": variable.tags}
    form = editing(VariableForm(request.POST or None, initial=initial))
    if saved(form, lambda values: update_variable(which=Q(pk=variable_id), changes=values, now=current_time())):
        return redirect("deployments:variables")
    return _form(request, form, f"Variable {variable.name}", "Save")


@requires(Action.CHANGE_VARIABLES)
@require_POST
def remove_variable(request: HttpRequest, variable_id: UUID) -> HttpResponse:
    name = _variable(variable_id).name
    attempt(request, lambda: delete_variable(which=Q(pk=variable_id)), done=f"Variable {quoted(name)} was deleted.")
    return redirect("deployments:variables")


def _form(request: HttpRequest, form: forms.Form, title: str, submit: str) -> HttpResponse:
    back = (reverse("deployments:variables"), "Variables")
    context = {"section": "variables", "form": form, "title": title, "submit": submit, "back": back}
    return render(request, "forms/form.html", context)


def _variable(variable_id: UUID) -> Variable:
    variable = Variable.objects.filter(pk=variable_id).first()
    if variable is None:
        raise Http404
    return variable
