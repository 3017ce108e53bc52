"""The page of settings, and what changes the preferences of a browser."""

from __future__ import annotations

from dataclasses import replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from orion_site.accounts.permissions import Action, requires
from orion_site.preferences.forms import PreferencesForm
from orion_site.preferences.middleware import preferences_of
from orion_site.preferences.reader import write_preferences


@requires(Action.READ_SETTINGS)
def settings_page(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm.showing(preferences_of(request))
    return TemplateResponse(request, "settings.html", {"section": "settings", "form": form})


@requires(Action.PROBE)
@require_POST
def change_preferences(request: HttpRequest) -> HttpResponse:
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return TemplateResponse(request, "settings.html", {"section": "settings", "form": form}, status=422)
    answer = redirect("settings")
    write_preferences(answer, form.preferences(preferences_of(request)))
    messages.success(request, "This browser shows the pages so from now on.")
    return answer


@requires(Action.PROBE)
@require_POST
def switch_zone(request: HttpRequest) -> HttpResponse:
    """Show times in UTC or in the other zone, and go back to the page where the switch was."""
    answer = redirect(_page_of(request))
    write_preferences(answer, replace(preferences_of(request), in_utc=request.POST.get("zone") == "UTC"))
    return answer


def _page_of(request: HttpRequest) -> str:
    page = request.POST.get("back", "")
    return page if url_has_allowed_host_and_scheme(page, allowed_hosts=None) else reverse("home")
