"""`orion automation test`, `pause`, `resume` and `delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.automation.finding import find_automation
from orionflow.cli.automation.looking import show_automations
from orionflow.cli.backend import Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.options import Output, ask_before, destructive, output_options
from orionflow.cli.output import Column


@click.command(cls=OrionCommand, examples=(("orion automation test hung", "its messages, about the newest run"),))
@click.argument("name", metavar="AUTOMATION")
@output_options
def test(name: str, output: Output) -> None:
    """Send the messages of an automation now, about the newest flow run. Its other actions are named, and not done."""
    api = backend()
    tried: list[Json] = api.post(f"/automations/{find_automation(api, name)['id']}/test")
    output.show_many(tried, TRIALS, name="outcome")
    if output.is_for_people and not tried:
        output.terminal.note("It does nothing.")
    lost = [one for one in tried if _failed(one)]
    if lost:
        raise CommandFailed(ExitCode.FAILED, f"{lost[0]['action']['type']} failed.", lost[0]["outcome"])


TRIALS = [
    Column("ACTION", lambda one: one["action"]["type"], field="action.type"),
    Column("OUTCOME", lambda one: one["outcome"], field="outcome"),
]


def _failed(trial: Json) -> bool:
    sent = trial["notification"]
    return bool(sent["standing"] != "SENT") if sent else trial["outcome"] != "would be done"


@click.command(cls=OrionCommand, examples=(("orion automation pause hung", "during a maintenance"),))
@click.argument("names", metavar="AUTOMATION...", nargs=-1, required=True)
@output_options
def pause(names: tuple[str, ...], output: Output) -> None:
    """Let automations do nothing for a while. What happens meanwhile is not caught up with."""
    _switch(names, False, "paused", output)


@click.command(cls=OrionCommand, examples=(("orion automation resume hung", ""),))
@click.argument("names", metavar="AUTOMATION...", nargs=-1, required=True)
@output_options
def resume(names: tuple[str, ...], output: Output) -> None:
    """Let automations act again, from now on."""
    _switch(names, True, "active again", output)


def _switch(names: Sequence[str], enabled: bool, done: str, output: Output) -> None:
    api = backend()
    found = [find_automation(api, name) for name in names]
    for one in found:
        api.request("PATCH", f"/automations/{one['id']}", {"enabled": enabled})
        if output.is_for_people:
            output.terminal.say(f"{one['name']} is {done}.")
    if not output.is_for_people:
        show_automations([api.get(f"/automations/{one['id']}") for one in found], output)


@click.command(
    cls=OrionCommand,
    examples=(("orion automation delete hung --dry-run", "only say which"), ("orion automation rm hung --yes", "")),
)
@click.argument("names", metavar="AUTOMATION...", nargs=-1, required=True)
@destructive
@output_options
def delete(names: tuple[str, ...], yes: bool, dry_run: bool, output: Output) -> None:
    """Delete automations with the log of what they did."""
    api = backend()
    found = list({one["id"]: one for one in (find_automation(api, name) for name in names)}.values())
    listed = ", ".join(one["name"] for one in found)
    if dry_run:
        output.terminal.note(f"Would delete {listed}.")
        return
    ask_before(f"delete {listed}", yes=yes)
    for one in found:
        api.delete(f"/automations/{one['id']}")
    output.terminal.note(f"Deleted {listed}.")
    if not output.is_for_people:
        show_automations(found, output)
