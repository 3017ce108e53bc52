"""The switch in the header between UTC and the user's zone."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from orion_site.accounts.permissions import Action, requires
from orion_site.preferences.middleware import preferences_of
from orion_site.preferences.reader import write_preferences


@requires(Action.PROBE)
@require_POST
def switch_zone(request: HttpRequest) -> HttpResponse:
    """Change the zone, and redirect to the page with the switch."""
    answer = redirect(_page_of(request))
    write_preferences(answer, replace(preferences_of(request), in_utc=request.POST.get("zone") == "UTC"))
    return answer


def _page_of(request: HttpRequest) -> str:
    page = request.POST.get("back", "")
    return page if url_has_allowed_host_and_scheme(page, allowed_hosts=None) else reverse("home")
