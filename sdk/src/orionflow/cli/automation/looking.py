"""`orion automation ls`, `inspect` and `log`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.automation.actions import actions_text
from orionflow.cli.automation.finding import LISTING, find_automation
from orionflow.cli.automation.triggers import trigger_text
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.looks import painted
from orionflow.cli.notify.looking import show_log
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column
from orionflow.cli.times import Clock
from orionflow.cli.yaml_text import as_yaml


@click.command(
    cls=OrionCommand, examples=(("orion automation ls", ""), ("orion automation ls -o json", "the API's objects"))
)
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
def ls(limit: int, output: Output) -> None:
    """List automations: when they act, and what they do."""
    found = list(backend().pages(LISTING, {}, limit))
    show_automations(found, output)
    if output.is_for_people and not found:
        output.terminal.note("No automations.")


def show_automations(automations: Sequence[Json], output: Output) -> None:
    output.show_many(automations, COLUMNS)


COLUMNS = [
    Column("NAME", lambda one: one["name"], field="name"),
    Column("ACTIVE", lambda one: "yes" if one["enabled"] else "paused", field="enabled"),
    Column("WHEN", lambda one: trigger_text(one["trigger"]), field="trigger"),
    Column("DOES", actions_text, field="actions"),
    Column("ID", lambda one: one["id"], field="id", wide=True),
    Column("DESCRIPTION", lambda one: one["description"] or "-", field="description", wide=True),
]


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion automation inspect hung", ""),
        ("orion automation inspect hung -o yaml", "to change it and create it again with --overwrite"),
    ),
)
@click.argument("name", metavar="AUTOMATION")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show one automation, with its trigger and its actions."""
    found = find_automation(backend(), name)
    fields = [
        Column("id", lambda one: one["id"]),
        Column("name", lambda one: one["name"]),
        Column("active", lambda one: "yes" if one["enabled"] else "paused"),
        Column("description", lambda one: one["description"] or "-"),
        Column("when", lambda one: trigger_text(one["trigger"])),
        Column("trigger", lambda one: as_yaml(one["trigger"])),
        Column("actions", lambda one: as_yaml([*one["actions"], *one["actions_on_trigger"]])),
        Column("created", lambda one: clock.absolute(one["created"])),
        Column("updated", lambda one: clock.absolute(one["updated"])),
    ]
    output.show_one(found, fields)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion automation log", "the newest actions of all"),
        ("orion automation log hung --failed", "what could not be done"),
        ("orion automation log hung --messages", "its messages, attempt by attempt"),
    ),
)
@click.argument("name", metavar="[AUTOMATION]", required=False)
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option("--messages", is_flag=True, help="The messages that were sent, with each attempt.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="The most to show.")
@output_options
@time_options
def log(name: str | None, failed: bool, messages: bool, limit: int, output: Output, clock: Clock) -> None:
    """Show what automations did, newest first. It is kept for a week."""
    api = backend()
    of_one = {"automation_id": {"any_": [find_automation(api, name)["id"]]}} if name else {}
    if messages:
        given_up = {"standing": {"any_": ["GIVEN_UP", "WAITING"]}} if failed else {}
        asked: Json = of_one or {"automation_id": {"is_null_": False}}
        show_log(api, {**asked, **given_up}, limit, output, clock)
        return
    found = [one for one in _firings(api, of_one, None if failed else limit) if one["error"] or not failed][:limit]
    names = {one["id"]: one["name"] for one in api.pages(LISTING, {}, None)} if output.is_for_people else {}
    output.show_many(found, _log_columns(names, clock), name="id")
    if output.is_for_people and not found:
        output.terminal.note("Nothing failed." if failed else "Nothing was done yet.")


def _firings(api: Backend, of_one: Json, limit: int | None) -> list[Json]:
    return list(api.pages("/automations/firings/filter", {"firings": of_one} if of_one else {}, limit))


def _log_columns(names: dict[str, str], clock: Clock) -> list[Column]:
    return [
        Column("WHEN", lambda one: clock.ago(one["created"]), field="created"),
        Column("AUTOMATION", lambda one: names.get(one["automation_id"], "-"), field="automation_id"),
        Column("ACTION", lambda one: one["action"]["type"], field="action.type"),
        Column("STATUS", _status, field="done_at", paint=_paint),
        Column("EVENT", lambda one: (one["event"] or {}).get("event") or "no event", field="event.event"),
        Column("ERROR", lambda one: one["error"] or "", field="error"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
    ]


def _status(one: Json) -> str:
    if not one["done_at"]:
        return "waits"
    return "failed" if one["error"] else "done"


def _paint(text: str, one: Json) -> str:
    return painted(text, {"failed": "FAILED", "done": "COMPLETED"}.get(text, "SCHEDULED"))
