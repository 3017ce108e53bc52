"""From a POST to a service and back to a page. What is not there is a 404, what is refused is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest

from orchestration.errors import DomainError, NotFound


def attempt(request: HttpRequest, act: Callable[[], object], *, done: str) -> bool:
    """Do what a button is for, and show on the next page that it is done, or why not."""
    try:
        act()
    except NotFound as error:
        raise Http404(str(error)) from error
    except DomainError as error:
        messages.error(request, str(error))
        return False
    messages.success(request, done)
    return True


def saved(form: forms.Form, act: Callable[[dict[str, Any]], object]) -> bool:
    """Give valid values to a service. What it refuses stands above the form, with everything that was filled in."""
    if not form.is_valid():
        return False
    try:
        act(form.cleaned_data)
    except NotFound as error:
        raise Http404(str(error)) from error
    except DomainError as error:
        form.add_error(None, str(error))
        return False
    return True
