"""Forms of deployments: the settings that can be changed without code, and copies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

from django import forms

from deployments.models import Deployment
from orion_site.forms.fields import (
    LinesField,
    NameField,
    NewNameField,
    NumberField,
    ObjectField,
    TagsField,
    plain_number,
)
from orionflow.contract.deployments import BLOCK_NAME, DeploymentFields, Within
from orionflow.contract.kinds import LOCATION_NAME
from orionflow.contract.wire import Shown

OVERLAPS = {
    "allow": "Runs may overlap",
    "queue": "A run waits for the one before",
    "skip": "A run is skipped while another runs",
    "cancel_new": "A new run is cancelled while another runs",
    "cancel_old": "A new run cancels the one before",
}


class SecondsField(forms.FloatField):
    """A period in seconds; None if empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=1e9, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return plain_number(value.total_seconds()) if isinstance(value, timedelta) else value

    def to_python(self, value: Any) -> timedelta | None:  # type: ignore[override]
        seconds = super().to_python(value)
        try:
            return None if seconds is None else timedelta(seconds=seconds)
        except (OverflowError, ValueError):
            raise forms.ValidationError(self.error_messages["invalid"]) from None

    def validate(self, value: Any) -> None:
        super().validate(value.total_seconds() if isinstance(value, timedelta) else value)

    def run_validators(self, value: Any) -> None:
        super().run_validators(value.total_seconds() if isinstance(value, timedelta) else value)


class SecretsField(TagsField):
    """Names of blocks, separated by commas."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        names = super().to_python(value)
        if wrong := [name for name in names if not re.fullmatch(BLOCK_NAME, name)]:
            raise forms.ValidationError(f"{wrong[0]} names no block; write TYPE/NAME, such as secret/db-password.")
        return names


class DeploymentForm(forms.Form):
    description = LinesField(
        required=False, empty_value=None, widget=forms.Textarea({"rows": 6}), help_text="Markdown."
    )
    tags = TagsField(help_text="Between commas. Its runs have them too.")
    parameters = ObjectField(required=False, help_text="As JSON: the parameters of each run that does not set its own.")
    enforce_parameter_schema = forms.BooleanField(
        required=False, label="Refuse runs whose parameters do not fit the schema of the flow"
    )
    secrets = SecretsField(
        label="Secrets",
        help_text="Blocks that its runs may read although its author may not: TYPE/NAME, between commas.",
    )
    result_storage = forms.RegexField(
        LOCATION_NAME.removesuffix("$") + r"\Z",
        required=False,
        empty_value=None,
        label="Location of results",
        help_text="A block of the type Result Location, by its name: for results that its code does not place.",
        error_messages={"invalid": "This names no location; write its name in small letters, such as lake."},
    )
    work_pool = forms.ChoiceField(label="Work pool")
    work_queue = NameField(label="Work queue", help_text="Where its runs wait. It is made if it is new.")
    overlap = forms.ChoiceField(choices=list(OVERLAPS.items()), label="While another run of it is running")

    def __init__(self, *args: Any, pools: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["work_pool"].choices = [(name, name) for name in pools]  # type: ignore[attr-defined]


def _numbers() -> Iterator[tuple[str, forms.Field]]:
    """Yield a field for each number that the contract describes for forms; periods are in seconds."""
    for name, one in DeploymentFields.model_fields.items():
        if shown := Shown.of(one):
            kind = SecondsField if Within in get_args(one.annotation) else NumberField
            yield name, kind(required=False, label=shown.label, help_text=shown.help)


DeploymentForm.base_fields.update(_numbers())


class DuplicateForm(forms.Form):
    name = NewNameField(help_text="Another name for the same flow.")
    paused = forms.BooleanField(required=False, initial=True, label="Paused at first, so that nothing runs twice")

    def __init__(self, *args: Any, taken_by: Deployment, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.original = taken_by

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Deployment.objects.filter(flow=self.original.flow_id, name=name).exists():
            raise forms.ValidationError("The flow has a deployment of this name already.")
        return name
