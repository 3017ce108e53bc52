"""The form of a backfill: its times, the parameters of its runs, and their number at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from deployments.backfills.services.planning import MOST_AT_ONCE, NewBackfill
from deployments.models import Deployment, Schedule
from deployments.pages.schedule_forms import UNITS, CronField, LocalMomentField
from deployments.pages.selectors.deployment import words_of
from deployments.schedules.core import ScheduleError
from deployments.schedules.selectors import calendar_names
from orion_site.forms.fields import NameField, NewNameField, NumberField, ObjectField
from orion_site.forms.making import new_id_of

ORDERS = [("oldest", "The oldest time first"), ("newest", "The newest time first")]


class BackfillForm(forms.Form):
    start = LocalMomentField(label="From", help_text="The first time, in the time zone of the schedule.")
    end = LocalMomentField(label="To", help_text="The last time. Future times are left to the schedules.")
    times = forms.ChoiceField(label="Times")
    every = forms.FloatField(
        required=False, min_value=0, max_value=1e11, label="Every", help_text="Only for an interval."
    )
    unit = forms.ChoiceField(choices=[(name, name) for name in UNITS], label="Unit", required=False, initial="days")
    cron = CronField(required=False, help_text="Only for a cron line, such as 30 6 * * 1-5.")
    timezone = forms.CharField(
        required=False,
        max_length=255,
        initial="UTC",
        label="Time zone",
        help_text="Only for an interval or a cron line.",
    )
    calendars = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Leave out the times in",
        help_text="In addition to the calendars of the schedule.",
    )
    again = forms.BooleanField(required=False, label="Run times that have a completed run, too")
    time_parameter = forms.ChoiceField(
        required=False,
        label="Parameter for the time",
        help_text="It receives the scheduled time, or its date if the schema asks for one.",
    )
    parameters = ObjectField(
        required=False, label="Parameters", help_text="As JSON, in addition to those of the deployment.", initial={}
    )
    order = forms.ChoiceField(choices=ORDERS, label="Order")
    at_once = NumberField(
        least=1,
        required=False,
        initial=1,
        label="Runs at once",
        help_text="The next run is made when one of them has ended, and while nothing else waits in the queue.",
    )
    work_queue_name = NameField(
        required=False, label="Work queue", help_text="Empty: the queue of the deployment. A new one is created."
    )
    name = NewNameField(required=False, label="Name", help_text="Its runs get the tag backfill:name.")

    def __init__(
        self,
        *args: Any,
        deployment: Deployment,
        schedules: Sequence[Schedule],
        calendars: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.schedules = {str(one.pk): one for one in schedules}
        self.fields["times"].choices = [  # type: ignore[attr-defined]
            *((pk, _words(one)) for pk, one in self.schedules.items()),
            ("interval", "An interval"),
            ("cron", "A cron line"),
        ]
        self.fields["parameters"].widget.attrs["rows"] = 3
        self.fields["start"].required = self.fields["end"].required = True
        if calendars:
            self.fields["calendars"].choices = [(name, name) for name in calendars]  # type: ignore[attr-defined]
        else:
            del self.fields["calendars"]
        names = time_parameters(deployment.parameter_openapi_schema)
        if names:
            choices = [("", "None"), *((name, name) for name in names)]
            self.fields["time_parameter"].choices = choices  # type: ignore[attr-defined]
        else:
            self.fields["time_parameter"] = forms.CharField(
                required=False, max_length=255, label="Parameter that holds the time", help_text="Empty: none."
            )

    def clean_at_once(self) -> int:
        number: int = self.cleaned_data["at_once"] or 1
        if number > MOST_AT_ONCE:
            raise forms.ValidationError(f"At most {MOST_AT_ONCE}.")
        return number

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("times") == "interval" and not values.get("every") and "every" not in self.errors:
            self.add_error("every", "Say how long the interval is.")
        if values.get("times") == "cron" and not values.get("cron"):
            self.add_error("cron", "Write minute, hour, day of month, month and day of week.")
        return values

    def new_backfill(self) -> NewBackfill:
        """Return the backfill that the valid form describes."""
        values = self.cleaned_data
        stored = self.schedules.get(values["times"])
        calendars = [*(calendar_names(stored) if stored else []), *values.get("calendars", [])]
        return NewBackfill(
            start=values["start"],
            end=values["end"],
            definition=stored.definition if stored else _definition(values),
            calendars=list(dict.fromkeys(calendars)),
            name=values["name"] or None,
            parameters={**(stored.parameters if stored else {}), **values["parameters"]},
            time_parameter=values["time_parameter"] or None,
            newest_first=values["order"] == "newest",
            at_once=values["at_once"],
            again=values["again"],
            work_queue_name=values["work_queue_name"] or None,
            id=new_id_of(self),
        )


def time_parameters(schema: Mapping[str, Any] | None) -> list[str]:
    """Return the parameters that can hold a time: those of type string, dates and times first."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, Mapping):
        return []
    kinds = {name: _kinds(own) for name, own in properties.items()}
    texts = [name for name, found in kinds.items() if any(kind in (None, "string") for kind, _ in found)]
    return sorted(texts, key=lambda name: not any(form in ("date", "date-time") for _, form in kinds[name]))


def _kinds(own: Any) -> list[tuple[Any, Any]]:
    if not isinstance(own, Mapping):
        return [(None, None)]
    choices = own.get("anyOf")
    if isinstance(choices, list):
        return [(one.get("type"), one.get("format")) for one in choices if isinstance(one, Mapping)]
    return [(own.get("type"), own.get("format"))]


def _definition(values: Mapping[str, Any]) -> dict[str, Any]:
    zone = values["timezone"] or "UTC"
    if values["times"] == "cron":
        return {"cron": values["cron"], "timezone": zone, "day_or": True}
    return {"interval": values["every"] * UNITS[values["unit"] or "days"], "timezone": zone}


def _words(schedule: Schedule) -> str:
    try:
        return words_of(schedule.definition)
    except ScheduleError:
        return "a schedule that names no times"
