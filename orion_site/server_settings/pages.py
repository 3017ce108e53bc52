"""The page of settings, and the form that changes one for all servers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from deployments.upkeep.current_settings import CHANGEABLE, current, forget
from deployments.upkeep.services.settings import change_setting, reset_setting
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, actor_of, may, requires
from orion_site.forms.editing import editing
from orion_site.forms.fields import NumberField
from orion_site.forms.submitting import attempt, saved
from orion_site.preferences.forms import PreferencesForm
from orion_site.preferences.middleware import preferences_of
from orion_site.preferences.reader import write_preferences
from orion_site.server_settings.catalogue import CATALOGUE, setting_lines

MEANINGS = {entry.name: entry.meaning for entries in CATALOGUE.values() for entry in entries}


@requires(Action.READ_SETTINGS)
def settings_page(request: HttpRequest) -> HttpResponse:
    return _page(request, PreferencesForm.showing(preferences_of(request)))


@requires(Action.READ_SETTINGS)
@require_POST
def change_preferences(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    answer = redirect("settings")
    write_preferences(answer, form.preferences(preferences_of(request)))
    messages.success(request, "Your preferences are stored in this browser.")
    return answer


@requires(Action.CHANGE_SETTINGS)
def change(request: HttpRequest, name: str) -> HttpResponse:
    bounds = CHANGEABLE.get(name)
    if bounds is None:
        raise Http404
    # This process may have read the setting up to two seconds ago.
    forget()
    form = editing(SettingForm(request.POST or None, name=name))

    def act(values: dict[str, int]) -> None:
        change_setting(name=name, value=values["value"], author=actor_of(request).name, now=current_time())

    if saved(form, act):
        messages.success(request, f"{name} is changed. All servers follow within two seconds.")
        return redirect(f"{reverse('settings')}#{name}")
    context = {
        "section": "settings",
        "title": name,
        "form": form,
        "submit": "Change",
        "back": (reverse("settings"), "Settings"),
        "intro": f"{capfirst(MEANINGS[name])}.",
    }
    return TemplateResponse(request, "forms/form.html", context, status=422 if form.errors else 200)


@requires(Action.CHANGE_SETTINGS)
@require_POST
def reset(request: HttpRequest, name: str) -> HttpResponse:
    author, now = actor_of(request).name, current_time()
    attempt(
        request,
        lambda: reset_setting(name=name, author=author, now=now),
        done=f"{name} has the value from the server's environment again.",
    )
    return redirect(f"{reverse('settings')}#{name}")


class SettingForm(forms.Form):
    """One whole number within the bounds of its setting."""

    def __init__(self, *given: Any, name: str) -> None:
        super().__init__(*given)
        bounds = CHANGEABLE[name]
        self.fields["value"] = NumberField(
            least=bounds.least,
            label=f"In {bounds.unit}",
            initial=current(name),
            help_text=f"From {bounds.least} to {bounds.most}. {bounds.warning}".strip(),
        )


def _page(request: HttpRequest, form: PreferencesForm, status: int = 200) -> HttpResponse:
    context = {
        "section": "settings",
        "form": form,
        "subjects": setting_lines(),
        "may_change": may(actor_of(request), Action.CHANGE_SETTINGS),
        "may_manage": may(actor_of(request), Action.MANAGE_USERS),
        "me": actor_of(request),
    }
    return TemplateResponse(request, "settings.html", context, status=status)
