"""The forms of a new deployment: the source of its code and, for a flow that was found there, its settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django import forms

from deployments.definitions.core.code_sources import CodeSource, SourceKind
from deployments.pages.schedule_forms import UNITS, CronField
from deployments.schedules.core import ScheduleError
from deployments.schedules.core.definitions import completed, refuse_without_times
from deployments.schedules.services.schedules import NewSchedule
from orchestration.database_clock import current_time
from orion_site.forms.fields import LinesField, NameField, NewNameField, ObjectField

KINDS = [
    (SourceKind.GIT.value, "A Git repository"),
    (SourceKind.FOLDER.value, "A folder on the agent's machine"),
    (SourceKind.MODULE.value, "A Python package or module that is installed there"),
    (SourceKind.REMOTE.value, "Storage such as s3://, gs:// or az://"),
]
WHEN = [("never", "Only on request"), ("interval", "At an interval"), ("cron", "By a cron line")]
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
SEPARATOR = " / "


class _QueueForm(forms.Form):
    """A form with a choice among these queues, in its field `queue`."""

    def __init__(self, *args: Any, queues: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(SEPARATOR.join(one), SEPARATOR.join(one)) for one in queues]
        self.fields["queue"].choices = choices  # type: ignore[attr-defined]

    def pool_and_queue(self) -> tuple[str, str]:
        pool, _, queue = self.cleaned_data["queue"].partition(SEPARATOR)
        return pool, queue


class SourceForm(_QueueForm):
    kind = forms.ChoiceField(choices=KINDS, initial=KINDS[0][0], label="Where the code is", widget=forms.RadioSelect)
    address = forms.CharField(
        max_length=2000,
        label="Address",
        help_text="https://git.example/team/flows.git, /srv/flows, team.flows, s3://bucket/flows",
        widget=forms.TextInput({"class": "mono", "spellcheck": "false", "autocomplete": "off"}),
    )
    branch = forms.CharField(
        required=False, max_length=255, label="Branch or tag", help_text="Of a repository. Empty: its default branch."
    )
    folder = forms.CharField(
        required=False,
        max_length=1000,
        label="Folder in it",
        help_text="Of a repository or a storage: only what is below it. Flows are loaded from there.",
    )
    secret = NameField(
        required=False,
        label="Secret",
        help_text="Of a private repository: the name of the secret block that holds its token.",
    )
    queue = forms.ChoiceField(label="Ask the agents of", help_text="Work pool and queue.")

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        address, kind = values.get("address", ""), values.get("kind")
        if not address or not kind:
            return values
        if problem := _problem(SourceKind(kind), address):
            self.add_error("address", problem)
        if any("\x00" in str(one) for one in values.values()):
            self.add_error(None, "Text must not contain the character NUL.")
        return values

    def source(self) -> CodeSource:
        values = self.cleaned_data
        names = ("address", "branch", "folder", "secret")
        return CodeSource(SourceKind(values["kind"]), **{name: values[name] for name in names})


def _problem(kind: SourceKind, address: str) -> str:
    try:
        has_password = urlsplit(address).password is not None
    except ValueError:
        return "This is not an address."
    if has_password:
        return "A password in the address would be stored for everybody to read; name a secret instead."
    match kind:
        case SourceKind.GIT if "://" not in address and "@" not in address:
            return "Write an address such as https://git.example/team/flows.git or git@git.example:team/flows.git."
        case SourceKind.REMOTE if "://" not in address:
            return "Write an address such as s3://bucket/flows."
        case SourceKind.FOLDER if not address.startswith(("/", "~")) and not re.match(r"[A-Za-z]:[\\/]", address):
            return "Write the whole path on the agent's machine, such as /srv/flows."
        case SourceKind.MODULE if not MODULE.fullmatch(address):
            return "Write the name of a module as Python imports it, such as team.flows."
    return ""


class FoundFlowForm(_QueueForm):
    name = NewNameField(label="Name", initial="default", help_text="Of the deployment; its flow has a name already.")
    queue = forms.ChoiceField(label="Runs wait in", help_text="Work pool and queue.")
    when = forms.ChoiceField(choices=WHEN, label="Starts by itself")
    every = forms.FloatField(required=False, min_value=0, max_value=1e11, label="Every", initial=1)
    unit = forms.ChoiceField(choices=[(name, name) for name in UNITS], label="Unit", required=False, initial="hours")
    cron = CronField(required=False, help_text="Such as 30 6 * * 1-5.")
    timezone = forms.CharField(required=False, max_length=255, initial="UTC", label="Time zone")
    parameters = ObjectField(
        required=False, label="Parameters", help_text="As JSON: the parameters of each run that does not set its own."
    )
    description = LinesField(
        required=False, empty_value=None, widget=forms.Textarea({"rows": 3}), help_text="Markdown."
    )
    enforce_parameter_schema = forms.BooleanField(
        required=False, initial=True, label="Refuse runs whose parameters do not fit those of the flow"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["parameters"].widget.attrs["rows"] = 5

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.errors or values["when"] == "never":
            return values
        if not values[what := "every" if values["when"] == "interval" else "cron"]:
            self.add_error(what, "Say when it is to run.")
            return values
        now = current_time()
        try:
            refuse_without_times(completed(self.definition(), now), now)
        except ScheduleError as error:
            name = {"interval": "every"}.get(error.field or "", error.field)
            self.add_error(name if name in self.fields else None, str(error))
        return values

    def definition(self) -> dict[str, Any]:
        values = self.cleaned_data
        zone = values["timezone"] or "UTC"
        if values["when"] == "cron":
            return {"cron": values["cron"], "timezone": zone, "day_or": True}
        return {"interval": values["every"] * UNITS[values["unit"] or "hours"], "timezone": zone}

    def schedules(self) -> list[NewSchedule]:
        return [] if self.cleaned_data["when"] == "never" else [NewSchedule(definition=self.definition())]
