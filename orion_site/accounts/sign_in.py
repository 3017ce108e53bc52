"""The pages to sign in and out, based on Django's views, and the redirect of unknown users to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils.http import urlencode
from rest_framework.request import Request

from orchestration.database_clock import current_time
from orion_site.accounts.attempts import address_of, attempt_succeeded, begin_attempt
from orion_site.accounts.local_owner import anybody_can_sign_in
from orion_site.accounts.local_token import cookie_name
from orion_site.accounts.permissions import Action, Actor, Unrecognised, requires
from orion_site.accounts.unsent import packed, page_of, unpacked

TOO_MANY = "throttled"


class SignInForm(AuthenticationForm):
    """Name and password. The error does not say which of the two is wrong."""

    error_messages = {
        "invalid_login": "Name and password do not belong together.",
        "inactive": "Name and password do not belong together.",
    }
    wait = 0

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.fields["username"].label = "Name"

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if not name or not password:
            return self.cleaned_data
        who = {"name": name, "address": address_of(cast(HttpRequest, self.request))}
        # Before the password is checked, so that guesses at the same moment count as well.
        self.wait = begin_attempt(**who, now=current_time())
        if self.wait:
            raise ValidationError(f"Too many attempts. Try again in {_words(self.wait)}.", code=TOO_MANY)
        cleaned = super().clean()
        attempt_succeeded(**who)
        return cleaned


def _words(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    return f"{round(seconds / 60)} minutes"


class SignIn(LoginView):
    """The page to sign in. Django's view checks the host of `next`, and gives the session a new key."""

    form_class = SignInForm
    template_name = "accounts/sign_in.html"

    def get_context_data(self, **given: Any) -> dict[str, Any]:
        unsent = self.request.POST.get("unsent", "")
        return super().get_context_data(**given, has_users=anybody_can_sign_in(), sign_on=_sign_on(), unsent=unsent)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_valid(form)
        kept = self.request.POST.get("unsent", "")
        if (unsent := unpacked(kept)) is None:
            if kept:
                messages.warning(self.request, "The form that you sent before is no longer kept. Fill it in again.")
            return answer
        context = {"unsent": unsent, "next": self.get_success_url()}
        page = _uncached(render(self.request, "accounts/send_again.html", context))
        # Sent again, masked secrets would replace what was filled in.
        page.shows_only_what_was_sent = True  # type: ignore[attr-defined]
        return page

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_invalid(form)
        wait = cast(SignInForm, form).wait
        answer.status_code = 429 if wait else 422
        if wait:
            answer.headers["Retry-After"] = str(wait)
        return answer


def _sign_on() -> str:
    return settings.ORION_OIDC_NAME if settings.ORION_OIDC_ISSUER else ""


def _uncached(answer: HttpResponse) -> HttpResponse:
    answer.headers["Cache-Control"] = "no-store"
    return answer


sign_in = requires(Action.ANYBODY)(SignIn.as_view())


class SignOut(LogoutView):
    """Ends the session, and removes the owner's cookie, so that the owner's browser needs a link again."""

    def post(self, request: HttpRequest, *given: Any, **more: Any) -> HttpResponse:
        answer: HttpResponse = super().post(request, *given, **more)
        if (name := cookie_name(request.META)) in request.COOKIES:
            answer.delete_cookie(name, samesite="Lax")
        return answer


sign_out = requires(Action.ANYBODY)(SignOut.as_view())


def form_to_sign_in(request: HttpRequest) -> dict[str, Any]:
    """Return what the template needs where another view than `SignIn` shows the form."""
    return {**_form_of_users(request), "has_users": anybody_can_sign_in()}


def _form_of_users(request: HttpRequest) -> dict[str, Any]:
    return {"form": SignInForm(request), "has_users": True, "sign_on": _sign_on()}


def signed_in(request: HttpRequest | Request) -> dict[str, Any]:
    """Return `signed_in` for templates: the user who signed in with this browser, if the request was authenticated."""
    asked = request.user if isinstance(request, Request) else getattr(request, "_orion_actor", None)
    is_person = isinstance(asked, Actor) and asked.user_id is not None and asked.key_id is None
    return {"signed_in": asked if is_person else None}


class SignInMiddleware:
    """Redirects unknown users to the page to sign in; programs get 401 and a sentence."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Unrecognised):
            return None
        if self._is_of_a_person(request):
            if not anybody_can_sign_in():
                # No user can sign in yet; the page explains what to do.
                return render(request, "accounts/sign_in.html", {"has_users": False}, status=401)
            if request.method not in {"GET", "HEAD"}:
                return self._session_has_ended(request)
            answer = HttpResponse(status=302)
            answer.headers["Location"] = f"{resolve_url('sign-in')}?{urlencode({'next': request.get_full_path()})}"
            return answer
        refused = JsonResponse({"detail": str(error)}, status=401)
        refused.headers["WWW-Authenticate"] = 'Bearer realm="orion"'
        # Errors of a client are not logged by the server.
        refused._has_been_logged = True  # type: ignore[attr-defined]
        return refused

    def _session_has_ended(self, request: HttpRequest) -> HttpResponse:
        page = {**_form_of_users(request), "next": page_of(request), "was_sent": True, "unsent": packed(request)}
        return _uncached(render(request, "accounts/sign_in.html", page, status=401))

    def _is_of_a_person(self, request: HttpRequest) -> bool:
        # htmx must not replace a part of a page by the whole page to sign in.
        is_part = "_f" in request.GET
        of_programs = request.path_info.startswith("/api") or request.path_info == "/metrics"
        is_program = of_programs or "Authorization" in request.headers
        return not is_part and not is_program
