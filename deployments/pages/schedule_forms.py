"""Forms of schedules, one for each kind. A form produces a definition in the format of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from annotated_types import MaxLen
from django import forms
from django.utils import timezone

from deployments.models import Schedule
from deployments.schedules.core import READERS, ScheduleError, moment_in, read_definition
from deployments.schedules.core.definitions import completed, refuse_without_times
from deployments.schedules.core.spread import MOST_SECONDS
from deployments.schedules.core.zones import on_clocks, zone_of
from orion_site.forms.fields import LinesField, NumberField, ObjectField, StoredTextField, plain_number
from orionflow.contract.schedules import LONGEST_CRON, LONGEST_ICS, AnyDefinition
from orionflow.contract.wire import Shown

UNITS = {"minutes": 60, "hours": 3_600, "days": 86_400, "weeks": 604_800, "seconds": 1}
MISSED = [("none", "Leave them out"), ("latest", "One run makes up for them"), ("all", "A run for each of them")]


class LocalMomentField(forms.DateTimeField):
    """A local time in the schedule's own zone."""

    def __init__(self, **kwargs: Any) -> None:
        shown = forms.DateTimeInput({"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")
        super().__init__(required=False, widget=shown, **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        # Django would read it in the current zone, where it may not exist or occur twice; in UTC neither happens.
        with timezone.override(UTC):
            moment: datetime | None = super().to_python(value)
        return moment.replace(tzinfo=None) if moment else None


class CronField(forms.CharField):
    """A cron expression."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput({"class": "mono", "spellcheck": "false", "autocomplete": "off"})
        super().__init__(max_length=LONGEST_CRON, label="Cron", widget=widget, **kwargs)


class IcsFileField(forms.FileField):
    """A calendar document as a file. The view copies its text into the text field."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.FileInput({"accept": ".ics,text/calendar"})
        super().__init__(required=False, label="Calendar file", widget=widget, **kwargs)


class IcsTextField(StoredTextField):
    """The text of a calendar document, entered by hand or copied from the file."""

    def __init__(self, *, rows: int) -> None:
        widget = forms.Textarea({"rows": rows, "class": "mono", "spellcheck": "false"})
        super().__init__(required=False, max_length=LONGEST_ICS, strip=False, label="Or its text", widget=widget)

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if not text.strip():
            raise forms.ValidationError("Choose a file, or write its text.")
        return text


class ScheduleForm(forms.Form):
    """The fields of all kinds of schedules."""

    kind: str
    label: str
    timezone = forms.CharField(
        required=False, max_length=255, initial="UTC", label="Time zone", help_text="Such as Europe/Berlin."
    )
    misfire = forms.ChoiceField(choices=MISSED, label="Missed times", help_text="Those at which no server ran.")
    ends_at = LocalMomentField(label="Ends", help_text="On the clocks of that zone. Empty: never.")
    max_runs = NumberField(least=1, required=False, label="Ends after this many runs", help_text="Empty: never.")
    calendars = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Leave out the times in",
        help_text="Nothing is started during the events of these calendars.",
    )
    spread = forms.FloatField(
        required=False,
        min_value=1,
        max_value=MOST_SECONDS,
        label="Spread over, in seconds",
        help_text="Runs of this deployment start up to so much later, always by the same time, so that not all "
        "deployments start on the hour.",
    )
    parameters = ObjectField(
        required=False,
        label="Parameters of its runs",
        help_text="As JSON, in addition to those of the deployment.",
        initial={},
    )
    active = forms.BooleanField(required=False, initial=True, label="Plan runs by this schedule")

    def __init__(self, *args: Any, calendar_names: Sequence[str], now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = now
        self.fields["parameters"].widget.attrs["rows"] = 3
        if calendar_names:
            choices = [(name, name) for name in calendar_names]
            self.fields["calendars"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["calendars"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.errors:
            return values
        try:
            values["definition"] = self.definition(values)
            if values.get("spread"):
                values["definition"]["spread"] = float(values["spread"])
            refuse_without_times(completed(values["definition"], self.now), self.now)
            values["ends_at"] = self._end(values)
        except ScheduleError as error:
            name = {"anchor_date": "anchor", "interval": "every"}.get(error.field or "", error.field)
            self.add_error(name if name in self.fields else None, str(error))
        return values

    def _end(self, values: Mapping[str, Any]) -> datetime | None:
        """Return the stored end if it is what the field shows, which has no fractions and may be two moments."""
        end: datetime | None = values["ends_at"]
        stored: datetime | None = self.initial.get("stored_end")
        is_same = end and stored and on_clocks(stored, read_definition(values["definition"]).zone) == end
        return stored if is_same else end

    def definition(self, values: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


class CronForm(ScheduleForm):
    kind = "cron"
    label = "Cron"
    cron = CronField(
        help_text="Minute, hour, day of month, month, day of week: 30 6 * * 1-5. Or a name such as @daily."
    )
    day_and = forms.BooleanField(
        required=False, label="Only when the day of month and the day of week both fit, where both are given"
    )
    field_order = ("cron", "day_and", "timezone")

    def definition(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"cron": values["cron"], "timezone": values["timezone"] or "UTC", "day_or": not values["day_and"]}


class IntervalForm(ScheduleForm):
    kind = "interval"
    label = "Interval"
    every = forms.FloatField(min_value=0, max_value=1e11, label="Every")
    unit = forms.ChoiceField(choices=[(name, name) for name in UNITS], label="Unit")
    anchor = LocalMomentField(
        label="Counted from", help_text="On the clocks of that zone, also if you change the zone. Empty: from now."
    )
    field_order = ("every", "unit", "anchor", "timezone")

    def definition(self, values: Mapping[str, Any]) -> dict[str, Any]:
        zone = values["timezone"] or "UTC"
        made: dict[str, Any] = {"interval": values["every"] * UNITS[values["unit"]], "timezone": zone}
        anchor, stored = values["anchor"], self.initial.get("anchor_date")
        if anchor and stored and anchor == self.initial.get("anchor"):
            # The form shows the stored anchor without fractions of a second.
            anchor = anchor.replace(microsecond=datetime.fromisoformat(stored).microsecond)
            if zone == (self.initial.get("timezone") or "UTC"):
                made["anchor_date"] = stored
                return made
        if anchor:
            made["anchor_date"] = moment_in(made, anchor).isoformat()
        return made


class IcsForm(ScheduleForm):
    kind = "ics"
    label = "Calendar file"
    file = IcsFileField(help_text="An .ics file; a run is planned at the start of each of its events.")
    ics = IcsTextField(rows=6)
    field_order = ("file", "ics", "timezone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].initial = ""
        self.fields["timezone"].help_text = "For times in the file without a zone. Empty: the zone of the calendar."

    def definition(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"ics": values["ics"], "timezone": values["timezone"] or None}


def _text_form(kind: str) -> type[ScheduleForm]:
    """Return a form for a kind whose definition is one text. The contract has its label and its maximum length."""
    text = next(one.model_fields[kind] for one in get_args(AnyDefinition) if kind in one.model_fields)
    shown = Shown.of(text) or Shown(kind.capitalize())

    class TextForm(ScheduleForm):
        field_order = (kind, "timezone")

        def definition(self, values: Mapping[str, Any]) -> dict[str, Any]:
            return {kind: values[kind], "timezone": values["timezone"] or "UTC"}

    TextForm.kind, TextForm.label = kind, shown.label
    TextForm.base_fields[kind] = LinesField(
        max_length=next((one.max_length for one in text.metadata if isinstance(one, MaxLen)), None),
        label=shown.label,
        help_text=shown.help,
        widget=forms.Textarea({"rows": 3, "class": "mono", "spellcheck": "false"}),
    )
    return TextForm


_OF_THEIR_OWN: dict[str, type[ScheduleForm]] = {form.kind: form for form in (CronForm, IntervalForm, IcsForm)}
FORMS = {kind: _OF_THEIR_OWN.get(kind) or _text_form(kind) for kind in READERS}


def kind_of(schedule: Schedule) -> str:
    return next(kind for kind in FORMS if kind in schedule.definition)


def initial_of(schedule: Schedule, calendars: Sequence[str]) -> dict[str, Any]:
    """Return the initial values of a form for a stored schedule."""
    definition = schedule.definition
    values: dict[str, Any] = {
        "timezone": definition.get("timezone") or "",
        "misfire": schedule.misfire,
        # In the zone of the definition as it is read: a calendar file may have one of its own.
        "ends_at": on_clocks(schedule.ends_at, read_definition(definition).zone) if schedule.ends_at else None,
        "stored_end": schedule.ends_at,
        "max_runs": schedule.max_runs,
        "spread": plain_number(definition["spread"]) if definition.get("spread") else None,
        "calendars": list(calendars),
        "parameters": schedule.parameters,
        "active": schedule.active,
    }
    match kind_of(schedule):
        case "cron":
            return values | {"cron": definition["cron"], "day_and": not definition.get("day_or", True)}
        case "interval":
            return values | _initial_interval(definition)
        case kind:
            return values | {kind: definition[kind]}


def _initial_interval(definition: Mapping[str, Any]) -> dict[str, Any]:
    seconds = timedelta(seconds=definition["interval"]).total_seconds()
    longest_first = sorted(UNITS, key=lambda name: UNITS[name], reverse=True)
    unit = next(name for name in longest_first if seconds % UNITS[name] == 0 or name == "seconds")
    number = seconds / UNITS[unit]
    values: dict[str, Any] = {"every": plain_number(number), "unit": unit}
    if anchor := definition.get("anchor_date"):
        moment = datetime.fromisoformat(anchor)
        zone = zone_of(definition.get("timezone"))
        shown = on_clocks(moment, zone) if moment.tzinfo else moment.replace(microsecond=0)
        values |= {"anchor": shown, "anchor_date": anchor}
    return values
