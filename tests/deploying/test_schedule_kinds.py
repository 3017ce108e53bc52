"""A kind of schedule is a shape in the contract, a reader on the server, and a class for programs and commands."""

from __future__ import annotations

from typing import Any, get_args

import click
import pytest
from pydantic import TypeAdapter

from deployments.schedules.core import FIELDS, READERS, read_definition
from orionflow.cli.schedules import SCHEDULE_PARAMS, definition_text
from orionflow.cli.terminal import current_terminal
from orionflow.cli.topics import TOPICS
from orionflow.contract.schedules import AnyDefinition
from orionflow.deployments import __all__ as exported
from orionflow.schedules import KINDS, ScheduleOptions, as_wire

ICS = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:20261121T120000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
SAMPLES: dict[str, Any] = {"cron": "0 6 * * *", "interval": 900, "rrule": "FREQ=DAILY", "ics": ICS}


def test_every_kind_of_the_contract_has_a_reader_and_a_class():
    shapes = [frozenset(one.model_fields) for one in get_args(AnyDefinition)]

    assert sorted(map(sorted, shapes)) == sorted(map(sorted, FIELDS.values()))
    assert READERS.keys() == KINDS.keys() == FIELDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_an_option_of_commands_and_of_deploy(kind):
    options = {name for one in SCHEDULE_PARAMS if isinstance(one, click.Option) for name in one.opts}

    assert f"--{kind}" in options
    assert f"--{kind} {KINDS[kind].option.example}" in TOPICS["schedules"](current_terminal())
    assert kind in ScheduleOptions.__annotations__
    assert KINDS[kind].__name__ in exported


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_of_every_kind_is_what_the_contract_has_and_the_server_reads(kind):
    definition = as_wire({kind: SAMPLES[kind], "timezone": "Europe/Berlin"})["schedule"]

    stored = TypeAdapter(AnyDefinition).validate_python(definition).model_dump(mode="json")
    assert stored.keys() == FIELDS[kind]
    assert {name: stored[name] for name in definition} == definition
    assert read_definition(stored).describe()
    assert definition_text(stored) != "? (Europe/Berlin)"
