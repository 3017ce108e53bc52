"""`orion automation`, except `create`: automations, the log of their actions, and tests."""

from __future__ import annotations

import click

from orionflow.calls.events import AUTOMATIONS, FIRINGS, try_automation
from orionflow.cli.automation.actions import actions_text
from orionflow.cli.automation.triggers import trigger_text
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago, yes_or
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_named
from orionflow.cli.notify.commands import UNSENT, show_log
from orionflow.cli.output import Column
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command, limit_option, with_params
from orionflow.cli.style import painted
from orionflow.cli.yaml_text import as_yaml


def _find(session: Session, wanted: str) -> Json:
    return find_named(session.api, AUTOMATIONS, "automation", wanted)


_COLUMNS: Columns = (
    Col("NAME", "name"), Col("ACTIVE", "enabled", yes_or("paused")),
    Col("WHEN", "trigger", row=lambda one: trigger_text(one["trigger"])), Col("DOES", "actions", row=actions_text),
    ID, Col("DESCRIPTION", "description", wide=True),
)  # fmt: skip
AUTOMATION = Resource("automation", AUTOMATIONS, _COLUMNS, metavar="AUTOMATION", find=_find, times=False)
ls = AUTOMATION.ls(
    "List automations: when they act, and what they do.",
    "orion automation ls",
    ("orion automation ls -o json", "the API's objects"),
    empty="No automations.",
)
_FIELDS: Columns = (
    Col("id", "id"), Col("name", "name"), Col("active", "enabled", yes_or("paused")),
    Col("description", "description"), Col("when", row=lambda one: trigger_text(one["trigger"])),
    Col("trigger", row=lambda one: as_yaml(one["trigger"])),
    Col("actions", row=lambda one: as_yaml([*one["actions"], *one["actions_on_trigger"]])),
    Col("created", "created", absolute), Col("updated", "updated", absolute),
)  # fmt: skip
inspect = AUTOMATION.inspect(
    "Show one automation, with its trigger and its actions.",
    "orion automation inspect hung",
    ("orion automation inspect hung -o yaml", "to change it and create it again with --overwrite"),
    fields=_FIELDS,
    times=True,
)
pause = AUTOMATION.change(
    "Pause automations. Events that arrive while they are paused are ignored.",
    ("orion automation pause hung", "during a maintenance"),
    changes={"enabled": False},
    done="is paused",
    many=True,
)
resume = AUTOMATION.change(
    "Let automations act again, from now on.",
    "orion automation resume hung",
    changes={"enabled": True},
    done="is active again",
    many=True,
)
delete = AUTOMATION.delete(
    "Delete automations with the log of what they did.",
    ("orion automation delete hung --dry-run", "only say which"),
    "orion automation rm hung --yes",
    many=True,
)
TRIALS = [
    Col("ACTION", "action.type"),
    Col("OUTCOME", "outcome"),
]


@command(("orion automation test hung", "its messages, about the newest run"))
@click.argument("name", metavar="AUTOMATION")
def test(session: Session, name: str) -> None:
    """Send the messages of an automation now, about the newest flow run. Other actions are only named."""
    tried: list[Json] = session.api.ask(try_automation(_find(session, name)["id"]))
    session.show_list(tried, TRIALS, empty="It does nothing.", name="outcome")
    failed = [one for one in tried if _failed(one)]
    if failed:
        raise CommandFailed(ExitCode.FAILED, f"{failed[0]['action']['type']} failed.", failed[0]["outcome"])


def _failed(trial: Json) -> bool:
    sent = trial["notification"]
    return bool(sent["standing"] != "SENT") if sent else trial["outcome"] != "would be done"


@command(
    ("orion automation log", "the newest actions of all"),
    ("orion automation log hung --failed", "what could not be done"),
    ("orion automation log hung --messages", "its messages, attempt by attempt"),
    times=True,
)
@click.argument("name", metavar="[AUTOMATION]", required=False)
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option("--messages", is_flag=True, help="The messages that were sent, with each attempt.")
@with_params(limit_option(20))
def log(session: Session, name: str | None, failed: bool, messages: bool, limit: int) -> None:
    """Show what automations did, newest first. It is kept for a week."""
    of_one: Json = {"automation_id": {"any_": [_find(session, name)["id"]]}} if name else {}
    if messages:
        asked = of_one or {"automation_id": {"is_null_": False}}
        show_log(session, {**asked, **({"standing": UNSENT} if failed else {})}, limit)
        return
    body = {"firings": of_one} if of_one else {}
    # Only the firings themselves show which of them failed.
    firings = session.api.pages(FIRINGS, body, None if failed else limit)
    found = [one for one in firings if one["error"] or not failed][:limit]
    names = {one["id"]: one["name"] for one in session.api.pages(AUTOMATIONS, {}, None)} if session.for_people else {}
    empty = "Nothing failed." if failed else "Nothing was done yet."
    session.show_list(found, _log_columns(names), empty=empty, name="id")


def _log_columns(names: dict[str, str]) -> Columns:
    return (
        Col("WHEN", "created", ago),
        Col("AUTOMATION", "automation_id", lambda id, clock: names.get(id, "-")),
        Col("ACTION", "action.type"),
        Column("STATUS", _status, field="done_at", paint=_paint),
        Col("EVENT", "event.event", lambda name, clock: name or "no event"),
        Col("ERROR", "error", lambda error, clock: error or ""),
        ID,
    )


def _status(one: Json) -> str:
    if not one["done_at"]:
        return "waits"
    return "failed" if one["error"] else "done"


def _paint(text: str, one: Json) -> str:
    return painted(text, {"failed": "FAILED", "done": "COMPLETED"}.get(text, "SCHEDULED"))
