"""Edits of stored objects: a value that somebody else changed while a form was open is not overwritten unseen.

A form carries digests of the values that it showed. If a stored value is another one when the form comes back, the form
is shown once more, with what is stored now at its field; sent again, it replaces that. Two edits that are sent in the
same moment still replace each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from django import forms
from django.http import QueryDict

SHOWN = "shown_values"
# Characters of a stored value that are quoted.
MOST_QUOTED = 200

F = TypeVar("F", bound=forms.Form)


class ShownValues(forms.CharField):
    """Digests of the values that the form showed. It is no value of the object, so it never counts as changed."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


def editing(form: F) -> F:
    """Make a form notice when the stored values, its initial ones, change. Call it with all fields added."""
    form.fields[SHOWN] = ShownValues(required=False, initial=written(_stored(form)))
    return form


def refused_as_changed(form: forms.Form) -> bool:
    """Whether values were changed while this valid form was open, to others than it has; each gets an error."""
    if SHOWN not in form.fields:
        return False
    stored = _stored(form)
    for name in names_changed(form.cleaned_data[SHOWN], stored):
        if form.cleaned_data.get(name) != stored[name]:
            form.add_error(
                name, f"Meanwhile somebody changed this to {_quoted(form, name)}; save again to replace that."
            )
    data = cast("QueryDict", form.data).copy()
    data[SHOWN] = written(stored)
    form.data = data
    return bool(form.errors)


def written(values: Mapping[str, Any]) -> str:
    """Return digests of values, as a hidden field keeps them."""
    return urlencode({name: _digest(value) for name, value in values.items()})


def names_changed(shown: str, stored: Mapping[str, Any]) -> list[str]:
    """Return the names of stored values that are no longer what the hidden field says was shown."""
    digests = dict(parse_qsl(shown))
    return [name for name, value in stored.items() if digests.get(name, _digest(value)) != _digest(value)]


def _stored(form: forms.Form) -> dict[str, Any]:
    return {name: form.initial[name] for name in form.fields if name in form.initial}


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _quoted(form: forms.Form, name: str) -> str:
    value = form.fields[name].prepare_value(form.initial[name])
    if isinstance(value, bool):
        return "on" if value else "off"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
    if not text:
        return "nothing"
    return f"“{text[:MOST_QUOTED]}…”" if len(text) > MOST_QUOTED else f"“{text}”"
