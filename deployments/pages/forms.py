"""Forms for work, limits and variables."""

from __future__ import annotations

import re

from django import forms
from django.core.validators import RegexValidator

from deployments.models import ConcurrencyLimit
from orion_site.forms.fields import (
    ChangeableNameField,
    LinesField,
    NewNameField,
    NumberField,
    ObjectField,
    TagsField,
)
from orionflow.contract.kinds import AGENT_POOL, FAIR_SHARE_PATTERN

_LIMIT = "How many runs may be under way at once. Empty: no limit."


class PoolForm(forms.Form):
    """An existing pool; its name and type cannot be changed."""

    description = LinesField(required=False, widget=forms.Textarea(attrs={"rows": 2}), empty_value=None)
    concurrency_limit = NumberField(required=False, label="Limit", help_text=_LIMIT)
    fair_share = forms.CharField(
        required=False,
        empty_value=None,
        max_length=255,
        validators=[RegexValidator(FAIR_SHARE_PATTERN, "Write deployment, author, or tag:… such as tag:team.")],
        help_text="Lets runs of one priority take turns: by deployment, by author (of the deployment), or by tag:team, "
        "the tag that begins with team:. Empty: who waits longest goes first.",
    )
    base_job_template = ObjectField(
        required=False,
        label="Job template",
        help_text="What runs may ask of their surroundings, as JSON. With {} pools of containers get the usual one.",
    )


class NewPoolForm(PoolForm):
    name = NewNameField(help_text="Deployments name the pool that their runs wait in.")
    type = forms.ChoiceField(
        choices=[
            (AGENT_POOL, "Orion's agents (and agents of Prefect)"),
            ("process", "Workers: processes"),
            ("docker", "Orion's agents: Docker containers"),
            ("kubernetes", "Orion's agents: Kubernetes Jobs"),
        ],
        help_text="What executes the runs. This cannot be changed later.",
    )
    field_order = ("name", "type", "description", "concurrency_limit", "fair_share", "base_job_template")


class QueueForm(forms.Form):
    name = ChangeableNameField(help_text="Deployments and agents name the queue.")
    description = LinesField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    priority = NumberField(
        least=1, required=False, help_text="1 is the most urgent. Queues from there on move back by one."
    )
    concurrency_limit = NumberField(required=False, label="Limit", help_text=_LIMIT)


class TagLimitForm(forms.Form):
    tag = forms.CharField(max_length=255, help_text="Task runs with this tag share the slots.")
    slots = NumberField(help_text="How many of them may run at once; 0 lets none run. Lowering it stops no task run.")


class NewTagLimitForm(TagLimitForm):
    """A limit on a tag without one: the service would change the limit that a tag has."""

    def clean_tag(self) -> str:
        tag: str = self.cleaned_data["tag"]
        if ConcurrencyLimit.objects.filter(tag=tag).exists():
            raise forms.ValidationError("The tag has a limit already; change that one.")
        return tag


class GlobalLimitForm(forms.Form):
    name = ChangeableNameField(help_text="Flows ask for slots by this name.")
    limit = NumberField(help_text="How many slots there are.")
    slot_decay_per_second = forms.FloatField(
        min_value=0,
        max_value=1e9,
        initial=0,
        label="Slots that return by themselves, per second",
        help_text="0: a slot is taken until it is returned. More makes a rate: 0.5 lets one pass every two seconds.",
    )
    active = forms.BooleanField(required=False, initial=True, label="Active: takers wait when it is full")


class VariableForm(forms.Form):
    name = forms.CharField(
        max_length=255,
        validators=[RegexValidator(re.compile(r"^[a-z0-9_]+\Z"), "Only small letters, digits and _.")],
        help_text="Small letters, digits and _.",
    )
    value = LinesField(
        required=False, max_length=5000, strip=False, widget=forms.Textarea(attrs={"rows": 4, "class": "mono"})
    )
    tags = TagsField()
