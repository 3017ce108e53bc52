"""From a POST to a service and back to a page. A missing object becomes a 404, a refusal is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from orchestration.errors import DomainError, MadeAlready, NotFound
from orion_site.forms.editing import SHOWN, refused_as_changed
from orion_site.forms.making import NEW_ID, make_another
from orion_site.forms.masked import WOULD_REPLACE, put_secrets_back

# Fields that are no values of the object.
_UNSEEN = {SHOWN, NEW_ID}


def attempt(request: HttpRequest, act: Callable[[], object], *, done: str) -> bool:
    """Call a service for a button; the next page shows that it was done, or why not."""
    try:
        act()
    except NotFound as error:
        raise Http404(str(error)) from error
    except DomainError as error:
        messages.error(request, str(error))
        return False
    messages.success(request, done)
    return True


def page_to_return_to(request: HttpRequest) -> str:
    """Return the page of this site that the form names in `back`; empty if it names none."""
    asked: str = request.POST.get("back", "")
    return asked if asked.startswith("/") and url_has_allowed_host_and_scheme(asked, allowed_hosts=None) else ""


def saved(form: forms.Form, act: Callable[[dict[str, Any]], object]) -> bool:
    """Pass valid values to a service. A refusal is shown at its field, or above the form, which keeps all values.

    Return False for a form that is not bound, as that of a GET.
    """
    starred = put_secrets_back(form) if form.is_bound and SHOWN in form.fields else []
    if not form.is_valid():
        return False
    for name in starred:
        form.add_error(name, WOULD_REPLACE)
    if starred or refused_as_changed(form):
        return False
    try:
        act({name: value for name, value in form.cleaned_data.items() if name not in _UNSEEN})
    except NotFound as error:
        raise Http404(str(error)) from error
    except DomainError as error:
        if isinstance(error, MadeAlready):
            make_another(form)
        form.add_error(field_of(form, error), str(error))
        return False
    return True


def field_of(form: forms.Form, error: DomainError) -> str | None:
    """Return the field with the value that was refused: the innermost one of its place."""
    return next((str(part) for part in reversed(error.place) if part in form.fields), None)


def errors_in_words(form: forms.Form) -> str:
    """Return everything that is wrong with a form, each error after the name of its field."""
    named = [
        f"{form[name].label}: {error}" if name in form.fields else str(error)
        for name, errors in form.errors.items()
        for error in errors
    ]
    return " ".join(dict.fromkeys(named))
