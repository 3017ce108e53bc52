"""Fields of several forms: texts, names, tags, optional whole numbers, and JSON.

A field that is sent as it was shown has its initial value again, whatever is lost on the way through an input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.forms.boundfield import BoundField

from orchestration.json_texts import NUL, read_json
from orionflow.contract.names import fault_of
from runs.models.rows import NAME

HIGHEST = 2**31 - 1
_NAME = RegexValidator(NAME.regex, "A name must not contain / %% & > < or control characters.")


class Stored(forms.Field):
    """A field that knows the initial value of its form."""

    stored: Any = None

    def get_bound_field(self, form: forms.Form, field_name: str) -> BoundField:  # type: ignore[override]
        self.stored = form.get_initial_for_field(self, field_name)
        return super().get_bound_field(form, field_name)


class StoredTextField(Stored, forms.CharField):
    """A text that a user may leave as it is: the initial value keeps the spaces around it, and its line breaks."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        is_same = isinstance(self.stored, str) and self._as_sent(text or "") == self._as_sent(self.stored)
        return self.stored if is_same else text

    def _as_sent(self, text: str) -> str:
        text = _with_plain_breaks(text)
        # An input of one line has no line breaks.
        text = text if isinstance(self.widget, forms.Textarea) else text.replace("\n", "")
        return text.strip() if self.strip else text


class LinesField(StoredTextField):
    """A text of several lines. Browsers send a carriage return at the end of each, which programs do not expect."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text if text is None or text == self.stored else _with_plain_breaks(text)


def _with_plain_breaks(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class NameField(StoredTextField):
    """A name that is valid in addresses and for clients."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=255, validators=[_NAME], **kwargs)


def readable(name: str) -> None:
    """Refuse a name that people cannot read, with the character that is in the way."""
    if fault := fault_of(name):
        raise ValidationError(f"{fault}.")


class KeptNameField(StoredTextField):
    """A name that people can read; an existing object may keep an unreadable one."""

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value and value != self.stored:
            readable(value)


class NewNameField(NameField):
    """The name of a new object; a `NameField` refers to an existing one, whose name may be unreadable."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators.append(readable)


class ChangeableNameField(KeptNameField, NameField):
    """The name of a new object, or of an existing one that may get another name."""


class TagsField(Stored, forms.CharField):
    """Tags, separated by commas; the value is a list. Those that the object has may have commas of their own."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Between commas.")
        super().__init__(required=False, label=kwargs.pop("label", "Tags"), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        # Django would search for NUL in the text of the list, where it is escaped.
        if "\x00" in str(value):
            raise ValidationError(NUL)
        return list(dict.fromkeys(tags_between_commas(str(value or ""), self.stored or ())))


def tags_between_commas(text: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the tags between commas. Known ones may have commas of their own."""
    # Inputs of one line have no line breaks.
    shown = {tag.replace("\n", "").replace("\r", "").strip(): tag for tag in known}
    lengths = sorted({tag.count(",") + 1 for tag in shown}, reverse=True)
    parts, place = text.split(","), 0
    while place < len(parts):
        for length in lengths:
            joined = ",".join(parts[place : place + length]).strip()
            if joined in shown:
                yield shown[joined]
                place += length
                break
        else:
            if tag := parts[place].strip():
                yield tag
            place += 1


class NumberField(forms.IntegerField):
    """A whole number within the range of the database; None if it is empty."""

    def __init__(self, *, least: int = 0, most: int = HIGHEST, **kwargs: Any) -> None:
        super().__init__(min_value=least, max_value=most, **kwargs)


def plain_number(number: float) -> float:
    """Return the number without `.0`, and else in full, because what a form shows is saved."""
    return int(number) if number == int(number) else number


class ObjectField(forms.Field):
    """A JSON object, shown indented."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=forms.Textarea(attrs={"rows": 10, "class": "mono", "spellcheck": "false"}), **kwargs)

    def prepare_value(self, value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return {}
        if isinstance(value, dict):
            # A stored value, as a form has it that is filled with initial values.
            return value
        try:
            read = read_json(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if not isinstance(read, dict):
            raise ValidationError("Write a JSON object: { … }.")
        return read
