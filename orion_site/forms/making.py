"""Forms that make objects without a unique name: a form that is sent twice, as after the browser's Back, makes one.

The form carries the id of the object that it will make, so the second request is refused, and gets another id: sent
once more, it makes another object.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast
from uuid import UUID

from django import forms
from django.http import QueryDict

from orionflow.contract.ids import uuid7

NEW_ID = "new_id"

F = TypeVar("F", bound=forms.Form)


class NewIdField(forms.CharField):
    """The id of the object to make. A request without a usable one, as of a program, makes a new object."""

    widget = forms.HiddenInput

    def clean(self, value: Any) -> UUID:
        try:
            id = UUID(str(value))
        except ValueError:
            return uuid7()
        # The ids of all rows ascend with time.
        return id if id.version == 7 else uuid7()


def making(form: F) -> F:
    """Give the form the id of what it makes; the view passes `new_id_of` to the service."""
    form.fields[NEW_ID] = NewIdField(required=False, initial=uuid7)
    return form


def new_id_of(form: forms.Form) -> UUID:
    """Return the id that a valid form gives to what it makes."""
    id: UUID = form.cleaned_data[NEW_ID]
    return id


def make_another(form: forms.Form) -> None:
    """Let the form make another object when it is sent again."""
    data = cast("QueryDict", form.data).copy()
    data[NEW_ID] = str(uuid7())
    form.data = data
