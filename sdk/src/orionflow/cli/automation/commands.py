"""`orion automation`, but for `create`: automations, the log of what they did, and trials of them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.automation.actions import actions_text
from orionflow.cli.automation.triggers import trigger_text
from orionflow.cli.backend import Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import by_name_or_id
from orionflow.cli.notify.commands import UNSENT, show_log
from orionflow.cli.output import Column
from orionflow.cli.resource import Resource
from orionflow.cli.session import Session, command, limit_option, with_params
from orionflow.cli.style import painted
from orionflow.cli.yaml_text import as_yaml

LISTING = "/automations/filter"


def _find(session: Session, wanted: str) -> Json:
    named = list(session.api.pages(LISTING, {"automations": {"name": {"any_": [wanted]}}}, 20))
    rows = named or list(session.api.pages(LISTING, {}, None))
    return by_name_or_id(session.api, "automation", wanted, rows)


def _columns(session: Session, rows: Sequence[Json]) -> list[Column]:
    return [
        Column("NAME", lambda one: one["name"], field="name"),
        Column("ACTIVE", lambda one: "yes" if one["enabled"] else "paused", field="enabled"),
        Column("WHEN", lambda one: trigger_text(one["trigger"]), field="trigger"),
        Column("DOES", actions_text, field="actions"),
        Column("ID", lambda one: one["id"], field="id", wide=True),
        Column("DESCRIPTION", lambda one: one["description"] or "-", field="description", wide=True),
    ]


def _fields(session: Session, found: Json) -> list[Column]:
    return [
        Column("id", lambda one: one["id"]),
        Column("name", lambda one: one["name"]),
        Column("active", lambda one: "yes" if one["enabled"] else "paused"),
        Column("description", lambda one: one["description"] or "-"),
        Column("when", lambda one: trigger_text(one["trigger"])),
        Column("trigger", lambda one: as_yaml(one["trigger"])),
        Column("actions", lambda one: as_yaml([*one["actions"], *one["actions_on_trigger"]])),
        Column("created", lambda one: session.clock.absolute(one["created"])),
        Column("updated", lambda one: session.clock.absolute(one["updated"])),
    ]


AUTOMATION = Resource("automation", "/automations", _columns, metavar="AUTOMATION", find=_find, by_id=True, times=False)
ls = AUTOMATION.ls(
    "List automations: when they act, and what they do.",
    "orion automation ls",
    ("orion automation ls -o json", "the API's objects"),
    empty="No automations.",
)
inspect = AUTOMATION.inspect(
    "Show one automation, with its trigger and its actions.",
    "orion automation inspect hung",
    ("orion automation inspect hung -o yaml", "to change it and create it again with --overwrite"),
    fields=_fields,
    times=True,
)
pause = AUTOMATION.change(
    "Let automations do nothing for a while. What happens meanwhile is not caught up with.",
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
    Column("ACTION", lambda one: one["action"]["type"], field="action.type"),
    Column("OUTCOME", lambda one: one["outcome"], field="outcome"),
]


@command(("orion automation test hung", "its messages, about the newest run"))
@click.argument("name", metavar="AUTOMATION")
def test(session: Session, name: str) -> None:
    """Send the messages of an automation now, about the newest flow run. Its other actions are named, and not done."""
    tried: list[Json] = session.api.post(f"/automations/{_find(session, name)['id']}/test")
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
    # Only the answers say which of them failed.
    firings = session.api.pages("/automations/firings/filter", body, None if failed else limit)
    found = [one for one in firings if one["error"] or not failed][:limit]
    names = {one["id"]: one["name"] for one in session.api.pages(LISTING, {}, None)} if session.for_people else {}
    empty = "Nothing failed." if failed else "Nothing was done yet."
    session.show_list(found, _log_columns(session, names), empty=empty, name="id")


def _log_columns(session: Session, names: dict[str, str]) -> list[Column]:
    return [
        Column("WHEN", lambda one: session.clock.ago(one["created"]), field="created"),
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
