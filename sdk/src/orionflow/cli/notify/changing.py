"""`orion notify test`, `pause`, `resume` and `delete`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orionflow.cli.backend import backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.notify.destinations import receiver_block
from orionflow.cli.notify.finding import find_policy, name_of
from orionflow.cli.notify.sending import show_outcome, try_block, try_policy
from orionflow.cli.options import Output, ask_before, destructive, output_options


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion notify test ops", "the message of a notification, about a made-up run"),
        ("orion notify test slack-webhook/team", "a block, before anything uses it"),
    ),
)
@click.argument("wanted", metavar="NOTIFICATION|TYPE/NAME")
@output_options
def test(wanted: str, output: Output) -> None:
    """Send a test message now, and say what its receiver answered. It is sent once, and not repeated."""
    api = backend()
    if "/" in wanted:
        show_outcome(try_block(api, receiver_block(api, wanted)), output)
    else:
        show_outcome(try_policy(api, find_policy(api, wanted)), output)


@click.command(cls=OrionCommand, examples=(("orion notify pause ops", "during a maintenance"),))
@click.argument("names", metavar="NOTIFICATION...", nargs=-1, required=True)
@output_options
def pause(names: tuple[str, ...], output: Output) -> None:
    """Send nothing for a while. States that are entered meanwhile are not reported later."""
    _switch(names, False, "paused", output)


@click.command(cls=OrionCommand, examples=(("orion notify resume ops", ""),))
@click.argument("names", metavar="NOTIFICATION...", nargs=-1, required=True)
@output_options
def resume(names: tuple[str, ...], output: Output) -> None:
    """Send messages again."""
    _switch(names, True, "active again", output)


def _switch(names: Sequence[str], active: bool, done: str, output: Output) -> None:
    from orionflow.cli.notify.looking import show_policies

    api = backend()
    found = [find_policy(api, name) for name in names]
    for one in found:
        api.request("PATCH", f"/flow_run_notification_policies/{one['id']}", {"is_active": active})
        if output.is_for_people:
            output.terminal.say(f"{name_of(one)} is {done}.")
    if not output.is_for_people:
        show_policies(api, [api.get(f"/flow_run_notification_policies/{one['id']}") for one in found], output)


@click.command(
    cls=OrionCommand,
    examples=(("orion notify delete ops --dry-run", "only say which"), ("orion notify rm ops --yes", "")),
)
@click.argument("names", metavar="NOTIFICATION...", nargs=-1, required=True)
@destructive
@output_options
def delete(names: tuple[str, ...], yes: bool, dry_run: bool, output: Output) -> None:
    """Delete notifications with their log. What they have still to send is not sent; their blocks stay."""
    from orionflow.cli.notify.looking import show_policies

    api = backend()
    found = list({one["id"]: one for one in (find_policy(api, name) for name in names)}.values())
    listed = ", ".join(name_of(one) for one in found)
    if dry_run:
        output.terminal.note(f"Would delete {listed}.")
        return
    ask_before(f"delete {listed}", yes=yes)
    for one in found:
        api.delete(f"/flow_run_notification_policies/{one['id']}")
    output.terminal.note(f"Deleted {listed}.")
    if not output.is_for_people:
        show_policies(api, found, output)
