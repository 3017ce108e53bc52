from __future__ import annotations

from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme


def back(request):
    page = request.GET.get("next", "/")
    # ruleid: redirect-to-what-was-asked
    return redirect(page)


def back_to_where_they_came_from(request):
    # ruleid: redirect-to-what-was-asked
    return HttpResponseRedirect(request.headers["Referer"])


def to_a_page_of_ours(request):
    # ok: redirect-to-what-was-asked
    return redirect(reverse("flow", args=[request.GET["name"]]))


def to_a_page_that_was_looked_at(request):
    page = request.GET.get("next", "/")
    if not url_has_allowed_host_and_scheme(page, allowed_hosts=None):
        page = "/"
    # ok: redirect-to-what-was-asked
    return redirect(page)


def saved(request):
    answer = HttpResponse()
    # ruleid: header-from-a-request
    answer["Content-Disposition"] = f"attachment; filename={request.GET['name']}"
    # ok: header-from-a-request
    answer["Content-Length"] = str(int(request.GET["size"]))
    return answer
