"""Edits of stored objects: a value that somebody else changed while a form was open is not overwritten unseen.

A form carries digests of the values that it showed. If a stored value is another one when the form comes back, the form
is shown once more, with what is stored now at its field; sent again, it replaces that. Two edits that are sent in the
same moment still replace each other.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode

from django import forms
from django.http import QueryDict
from django.utils.crypto import salted_hmac

SHOWN = "shown_values"
# Characters of a stored value that are quoted.
MOST_QUOTED = 200

F = TypeVar("F", bound=forms.Form)


@dataclass(frozen=True, slots=True)
class Beside:
    """A stored value that a form replaces without showing it, and its words. Without words, it may change."""

    value: Any
    words: str = ""


class ShownValues(forms.CharField):
    """Digests of the values that the form showed. It is no value of the object, so it never counts as changed."""

    widget = forms.HiddenInput

    def __init__(self, beside: Mapping[str, Beside], apart: Collection[str]) -> None:
        super().__init__(required=False)
        self.beside, self.apart = beside, apart

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


def editing(form: F, *, beside: Mapping[str, Beside] | None = None, apart: Collection[str] = ()) -> F:
    """Make a form notice when the stored values, its initial ones, change. Call it with all fields added.

    It also notices changes of the values `beside` it. Fields `apart` have no stored value.
    """
    shown = form.fields[SHOWN] = ShownValues(beside or {}, apart)
    shown.initial = written(_stored(form, shown))
    return form


def refused_as_changed(form: forms.Form) -> bool:
    """Whether values were changed while this valid form was open, to others than it has; each gets an error."""
    shown = form.fields.get(SHOWN)
    if not isinstance(shown, ShownValues):
        return False
    stored = _stored(form, shown)
    for name in names_changed(form.cleaned_data[SHOWN], stored):
        if name in shown.beside:
            if words := shown.beside[name].words:
                form.add_error(None, f"Meanwhile somebody changed {words}; save again to replace that.")
            continue
        # `changed_data` always names fields of JSON, and cleaned objects never equal stored names, so ask both.
        if name in form.changed_data and form.cleaned_data.get(name) != stored[name]:
            now = _quoted(form.fields[name], stored[name])
            form.add_error(name, f"Meanwhile somebody changed this to {now}; save again to replace that.")
    data = cast("QueryDict", form.data).copy()
    data[SHOWN] = written(stored)
    form.data = data
    return bool(form.errors)


def written(values: Mapping[str, Any]) -> str:
    """Return digests of values, as a hidden field keeps them."""
    return urlencode({name: _digest(value) for name, value in values.items()})


def names_changed(shown: str, stored: Mapping[str, Any]) -> list[str]:
    """Return the names of stored values that are no longer what the hidden field says was shown.

    A value without a digest had no field. Without any digest, as in requests of programs, nothing counts as changed.
    """
    digests = dict(parse_qsl(shown))
    if not digests:
        return []
    return [name for name, value in stored.items() if digests.get(name, _digest(None)) != _digest(value)]


def _stored(form: forms.Form, shown: ShownValues) -> dict[str, Any]:
    fields = {name: field for name, field in form.fields.items() if name != SHOWN and name not in shown.apart}
    return {
        **{name: form.get_initial_for_field(field, name) for name, field in fields.items()},
        **{name: one.value for name, one in shown.beside.items()},
    }


def _digest(value: Any) -> str:
    # With the key of the server: a user whose page shows a secret as stars cannot check guesses of it.
    text = json.dumps(value, sort_keys=True, default=str)
    return salted_hmac(SHOWN, text, algorithm="sha256").hexdigest()[:12]


def _quoted(field: forms.Field, stored: Any) -> str:
    value = field.prepare_value(stored)
    if isinstance(value, bool):
        return "on" if value else "off"
    labels = {str(key): label for key, label in getattr(field, "choices", ())}
    several = value if isinstance(value, list | tuple) else [] if value is None else [value]
    text = ", ".join(str(labels.get(str(one), one)) for one in several)
    if not text:
        return "nothing"
    return f"“{text[:MOST_QUOTED]}…”" if len(text) > MOST_QUOTED else f"“{text}”"
