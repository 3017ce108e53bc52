"""Secrets that pages mask for users who may not read them: stars that come back in a form do not replace a secret."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from typing import cast

from django import forms
from django.http import QueryDict
from django.utils.html import escape

from orion_site.accounts.permissions import Action, may, who_asks
from orionflow.contract.masking import MASK, known

WOULD_REPLACE = f"{MASK} would replace a secret that you may not read; write the secret again."


def as_shown(text: str) -> str:
    """Return the text as pages show it to the user who asks."""
    if not known or may(who_asks(), Action.READ_SECRETS):
        return text
    return unescape(known.masked_bytes(escape(text).encode()).decode())


def with_secrets_back(sent: QueryDict, name: str, stored: str) -> bool:
    """Put a stored text back that was sent as it was shown. Return whether stars would replace its secrets."""
    shown, text = as_shown(stored), sent.get(name, "")
    if shown == stored:
        return False
    if _lines(text) == _lines(shown):
        sent[name] = stored
        return False
    return MASK in text


def put_secrets_back(form: forms.Form) -> list[str]:
    """Put back what a form sent as it was shown. Return the fields in which stars would replace secrets."""
    data = cast("QueryDict", form.data).copy()
    names = [name for name, stored in _texts(form) if with_secrets_back(data, name, stored)]
    form.data = data
    return names


def _texts(form: forms.Form) -> Iterator[tuple[str, str]]:
    for name, field in form.fields.items():
        stored = field.prepare_value(form.get_initial_for_field(field, name))
        if isinstance(stored, str):
            yield name, stored


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()
