"""Forms of automations: usual triggers and actions have fields, all others are JSON.

A stored trigger or action is shown in fields if these would produce the same again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.html import format_html
from pydantic import TypeAdapter
from pydantic import ValidationError as Misshapen

from orchestration.core.states import StateType
from orchestration.json_texts import NUL
from orion_site.forms.fields import KeptNameField, LinesField, NumberField, StoredTextField, TagsField
from orionflow.contract.automations import ActionIn, TriggerIn

RUNS = "prefect.flow-run."
RESOURCE = "prefect.resource.id"
STATE_NAMES = [(kind.value.capitalize(), kind.value.capitalize()) for kind in StateType]
TRIGGERS = {
    "state": "A flow run enters a state",
    "stays": "A flow run stays in a state for too long",
    "queue": "Nobody serves a work queue",
    "event": "Certain events occur",
    "silence": "Certain events do not occur",
    "json": "Something else, written as JSON",
}
ACTIONS = {
    "send-notification": "Send a message",
    "cancel-flow-run": "Cancel the flow run",
    "suspend-flow-run": "Suspend the flow run",
    "run-deployment": "Run a deployment",
    "pause-deployment": "Pause a deployment",
    "pause-work-queue": "Pause a work queue",
    "do-nothing": "Nothing: only record that it fired",
    "json": "Something else, or several actions, written as JSON",
}
_USUAL: dict[str, Any] = {
    "type": "event",
    "match": {},
    "match_related": {},
    "after": [],
    "expect": [],
    "for_each": [],
    "posture": "Reactive",
    "threshold": 1,
    "within": 0.0,
}


class JSONArea(forms.CharField):
    """JSON of a given type. Errors are shown with their places."""

    def __init__(self, shape: Any, **kwargs: Any) -> None:
        self._shape = TypeAdapter(shape)
        super().__init__(widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}), **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if "\\u0000" in text:
            raise ValidationError(NUL)
        try:
            return self._shape.dump_python(self._shape.validate_json(text or "null"), mode="json")
        except Misshapen as error:
            raise ValidationError([_text_of(one) for one in error.errors()[:5]]) from error


def _text_of(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}".removeprefix(": ")


def notice_of_receivers(blocks: Sequence[tuple[str, str]]) -> str:
    """Return what to do first if no block could send a message."""
    if blocks:
        return ""
    return format_html(
        'No block sends messages yet. <a href="{}">Make one</a> first, such as a Slack webhook.',
        reverse("deployments:new-block"),
    )


class AutomationForm(forms.Form):
    name = KeptNameField(max_length=1024)
    description = LinesField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2}), empty_value=""
    )
    enabled = forms.BooleanField(required=False, initial=True, label="Enabled: it acts when it fires")


def _state_fields() -> dict[str, forms.Field]:
    return {
        "states": forms.MultipleChoiceField(
            choices=STATE_NAMES, widget=forms.CheckboxSelectMultiple, label="States", initial=["Failed", "Crashed"]
        ),
        "tags": TagsField(label="Only runs with one of these tags"),
    }


def _event_fields() -> dict[str, forms.Field]:
    return {
        "expect": TagsField(
            label="Events", help_text="Separated by commas; a * at the end matches any ending. Empty: any event."
        ),
        "resource": StoredTextField(
            required=False,
            label="Of the resource",
            help_text="Its id; a * at the end matches any ending. Empty: of any resource.",
        ),
    }


def _duration(label: str) -> forms.Field:
    return forms.FloatField(min_value=10, max_value=1e9, label=label, initial=600)


def trigger_fields(kind: str) -> dict[str, forms.Field]:
    match kind:
        case "state":
            return _state_fields()
        case "stays":
            return {**_state_fields(), "within": _duration("For more than this many seconds")}
        case "queue":
            return {}
        case "event":
            return {
                **_event_fields(),
                "threshold": NumberField(least=1, initial=1, label="How many of them"),
                "within": forms.FloatField(
                    min_value=0, max_value=1e9, initial=0, label="Within seconds", help_text="0: however long it takes."
                ),
            }
        case "silence":
            return {
                **_event_fields(),
                "after": TagsField(
                    label="After these events", help_text="Empty: from the first event on, again and again."
                ),
                "within": _duration("For this many seconds"),
            }
    return {"trigger": JSONArea(TriggerIn, label="Trigger", help_text="As “orion automation inspect” prints it.")}


def action_fields(
    kind: str,
    blocks: list[tuple[str, str]],
    deployments: list[tuple[str, str]],
    queues: list[tuple[str, str]],
) -> dict[str, forms.Field]:
    about = [("", "The one that the event is about")]
    match kind:
        case "send-notification":
            return {
                "block_document_id": forms.ChoiceField(
                    choices=blocks,
                    label="Through",
                    help_text="The block that sends the message.",
                ),
                "subject": StoredTextField(max_length=10_000, initial="Orion: {{ flow_run.name }}"),
                "body": LinesField(
                    max_length=10_000,
                    widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}),
                    initial="Flow run {{ flow_run.name }} of {{ flow.name }} is {{ flow_run.state.name }}.",
                ),
            }
        case "run-deployment":
            return {
                "deployment_id": forms.ChoiceField(choices=[*about, *deployments], required=False, label="Deployment")
            }
        case "pause-deployment":
            return {
                "deployment_id": forms.ChoiceField(choices=[*about, *deployments], required=False, label="Deployment")
            }
        case "pause-work-queue":
            return {"work_queue_id": forms.ChoiceField(choices=[*about, *queues], required=False, label="Work queue")}
        case "json":
            return {"actions": JSONArea(list[ActionIn], label="Actions", help_text="A list of them.")}
    return {}


def trigger_of(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the trigger that the fields of this kind describe."""
    match kind:
        case "state":
            return {**_about_runs(values), "expect": [RUNS + name for name in values["states"]]}
        case "stays":
            return {
                **_about_runs(values),
                "after": [RUNS + name for name in values["states"]],
                "expect": [RUNS + "*"],
                "posture": "Proactive",
                "within": values["within"],
            }
        case "queue":
            return {
                **_USUAL,
                "match": {RESOURCE: "prefect.work-queue.*"},
                "expect": ["prefect.work-queue.not-ready"],
                "for_each": [RESOURCE],
            }
        case "event":
            own = {"threshold": values["threshold"], "within": values["within"]}
            return {**_USUAL, **_about_events(values), **own}
        case "silence":
            own = {"after": values["after"], "posture": "Proactive", "within": values["within"]}
            return {**_USUAL, **_about_events(values), **own}
    trigger: dict[str, Any] = values["trigger"]
    return trigger


def _about_runs(values: Mapping[str, Any]) -> dict[str, Any]:
    tagged = {RESOURCE: [f"prefect.tag.{tag}" for tag in values["tags"]], "prefect.resource.role": "tag"}
    return {
        **_USUAL,
        "match": {RESOURCE: RUNS + "*"},
        "match_related": tagged if values["tags"] else {},
        "for_each": [RESOURCE],
    }


def _about_events(values: Mapping[str, Any]) -> dict[str, Any]:
    match = {RESOURCE: values["resource"]} if values["resource"] else {}
    return {"match": match, "expect": values["expect"]}


def actions_from(kind: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the actions that the fields of this kind describe."""
    match kind:
        case "json":
            actions: list[dict[str, Any]] = values["actions"]
            return actions
        case "send-notification":
            return [{"type": kind, **{key: values[key] for key in ("block_document_id", "subject", "body")}}]
        case "run-deployment":
            return [{"type": kind, **_chosen("deployment_id", values), "parameters": None, "job_variables": None}]
        case "pause-deployment":
            return [{"type": kind, **_chosen("deployment_id", values)}]
        case "pause-work-queue":
            return [{"type": kind, **_chosen("work_queue_id", values)}]
    return [{"type": kind}]


def _chosen(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"source": "selected" if values[key] else "inferred", key: values[key] or None}


def trigger_kind_of(trigger: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the kind of form that shows this trigger, and the values of its fields."""
    own = {key: value for key, value in trigger.items() if key != "id"}
    if own.get("type") == "event":
        match = own["match"].get(RESOURCE, "")
        values = {
            "states": [name.removeprefix(RUNS) for name in own["after"] or own["expect"]],
            "tags": _tags(own["match_related"]),
            "expect": own["expect"],
            "resource": match if isinstance(match, str) else "",
            "after": own["after"],
            "threshold": own["threshold"],
            "within": own["within"],
        }
        known = {name for name, _ in STATE_NAMES}
        for kind in ("queue", "state", "stays", "event", "silence"):
            fits = kind not in {"state", "stays"} or known.issuperset(values["states"])
            if fits and trigger_of(kind, values) == own:
                return kind, values
    return "json", {"trigger": _without_ids(trigger)}


def _tags(related: Mapping[str, Any]) -> list[str]:
    ids = related.get(RESOURCE, [])
    return [str(one).removeprefix("prefect.tag.") for one in ([ids] if isinstance(ids, str) else ids)]


def _without_ids(trigger: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in trigger.items() if key != "id"}
    return {**own, "triggers": [_without_ids(one) for one in own["triggers"]]} if "triggers" in own else own


def action_kind_of(actions: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return the kind of form that shows these actions, and the values of its fields."""
    if len(actions) == 1 and actions[0]["type"] in ACTIONS:
        kind = actions[0]["type"]
        values = {key: value or "" for key, value in actions[0].items()}
        try:
            if actions_from(kind, values) == actions:
                return kind, values
        except KeyError:
            pass
    return "json", {"actions": actions}


class PolicyForm(forms.Form):
    """The form of a notification policy: the runs and states that it selects, and its block."""

    name = KeptNameField(required=False, max_length=255, empty_value=None)
    state_types = forms.MultipleChoiceField(
        required=False,
        choices=[(kind.value, kind.value.capitalize()) for kind in StateType],
        widget=forms.CheckboxSelectMultiple,
        label="When a run enters one of these states",
        initial=["FAILED", "CRASHED"],
    )
    state_names = TagsField(label="Or a state with one of these names", help_text="Such as Late or TimedOut.")
    tags = TagsField(label="Only runs with one of these tags")
    flow_names = TagsField(label="Only runs of these flows", help_text="Names between commas. Empty: of any flow.")
    block_document_id = forms.ChoiceField(label="Through", help_text="The block that sends the messages.")
    message_template = LinesField(
        required=False,
        max_length=10_000,
        empty_value=None,
        widget=forms.Textarea(attrs={"rows": 4, "class": "mono"}),
        label="Message",
        help_text="Empty: the usual message.",
    )
    is_active = forms.BooleanField(required=False, initial=True, label="Enabled")
