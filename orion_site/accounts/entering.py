"""Sign-in of the owner's browser by a link of `orion open`, where the kernel does not say which user connects."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.views.decorators.debug import sensitive_variables

from orion_site.accounts.local_owner import is_from_this_machine
from orion_site.accounts.local_token import COOKIE_SECONDS, cookie_name, new_cookie, use_code
from orion_site.accounts.permissions import Action, requires
from orion_site.accounts.sign_in import form_to_sign_in

HEADERS = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


@requires(Action.ANYBODY)
@sensitive_variables("code")
def enter(request: HttpRequest, code: str) -> HttpResponse:
    """Sign a browser in by a link, and set its cookie."""
    # HEAD requests, which programs send to preview a link, do not use up the code.
    if request.method != "GET" or not is_from_this_machine(request.META) or not use_code(code):
        page = {**form_to_sign_in(request), "link_is_over": True}
        refused = render(request, "accounts/sign_in.html", page, status=401)
        for name, value in HEADERS.items():
            refused.headers[name] = value
        return refused
    answer = HttpResponseRedirect(resolve_url("home"), headers=HEADERS)
    answer.set_cookie(
        cookie_name(request.META),
        new_cookie(request.META),
        max_age=COOKIE_SECONDS,
        httponly=True,
        samesite="Lax",
    )
    return answer
