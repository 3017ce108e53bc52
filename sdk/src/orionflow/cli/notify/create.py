"""`orion notify create`: a receiver, and the runs of which it is told."""

from __future__ import annotations

from typing import Any

import click

from orionflow.cli.backend import Backend, Json, backend, without_none
from orionflow.cli.block_making import completed, newest_schema, store_block
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.finding import find_deployment
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.notify.destinations import kind_of, read_address, receiver_block
from orionflow.cli.notify.finding import all_policies
from orionflow.cli.notify.sending import show_outcome, try_policy
from orionflow.cli.notify.states import USUAL, read_states, states_text
from orionflow.cli.options import Output, output_options
from orionflow.cli.parameters import read_pairs


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion notify create slack --name ops", "asks for the webhook's address"),
        ("orion notify create webhook https://example.org/hook --name hook --on failed,crashed,late", ""),
        ("orion notify create --block slack-webhook/team --flow etl --on failed", "to a block that is there"),
        ("orion notify create mail --to ada@example.org --from orion@example.org < key.txt", "through SendGrid"),
    ),
)
@click.argument("kind", required=False)
@click.argument("address", required=False)
@click.option("--name", metavar="NAME", help="What it is called; otherwise as its kind.")
@click.option("--block", metavar="TYPE/NAME", help="Send to this block, instead of making one.")
@click.option("--on", "states", metavar="STATE,…", multiple=True, help="In which states; failed,crashed by default.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with one of these tags.")
@click.option("--flow", "flows", metavar="FLOW", multiple=True, help="Only runs of these flows.")
@click.option(
    "--deployment", "deployments", metavar="DEPLOYMENT", multiple=True, help="Only runs of these deployments."
)
@click.option("--message", metavar="TEXT", help="The text, such as '{flow_run_name} is {flow_run_state_name}'.")
@click.option("--to", "receivers", metavar="MAIL", multiple=True, help="For mail: who is written to.")
@click.option("--from", "sender", metavar="MAIL", help="For mail: who writes.")
@click.option("--set", "pairs", metavar="FIELD=VALUE", multiple=True, help="Another field of the block.")
@click.option("--test", "tries", is_flag=True, help="Send a test message at once.")
@output_options
def create(kind: str | None, address: str | None, output: Output, tries: bool, **said: Any) -> None:
    """Send a message when runs enter certain states. KIND is slack, teams, mail, webhook, discord, mattermost,
    opsgenie, pagerduty or custom.

    ADDRESS is the webhook's address or the service's key. It is a secret: leave it out to be asked for it, or give it
    on stdin. It is sealed in a block, and never shown.
    """
    if (kind is None) == (said["block"] is None):
        raise click.UsageError("Name a kind of receiver, such as slack, or a --block that is there.")
    types, names = read_states(said["states"] or USUAL)
    api = backend()
    policy = {
        "name": _free_name(
            api, said["name"] or kind or str(said["block"]).rpartition("/")[2], chosen=bool(said["name"])
        ),
        "state_types": types,
        "state_names": names,
        "tags": list(said["tags"]),
        "flow_names": list(said["flows"]),
        "deployment_ids": [find_deployment(api, one)["id"] for one in said["deployments"]],
        "message_template": said["message"],
    }
    block = (
        receiver_block(api, said["block"]) if kind is None else _made_block(api, kind, address, policy["name"], said)
    )
    made = api.post("/flow_run_notification_policies/", without_none({**policy, "block_document_id": block["id"]}))
    if not output.is_for_people:
        output.show_one(made)
    else:
        to = f"{block['block_type']['slug']}/{block['name']}"
        output.terminal.say(f"Created the notification {made['name']}: {states_text(types, names)}, to {to}.")
        _say_what_is_next(api, made["name"], output, tries=tries)
    if tries:
        show_outcome(try_policy(api, made), output)


def _say_what_is_next(api: Backend, name: str, output: Output, *, tries: bool) -> None:
    from orionflow.settings import current_settings

    if not tries:
        output.terminal.note(f"Try it: orion notify test {name}")
    if current_settings().api_url is None:
        output.terminal.note("Messages are sent while a server runs: orion server start")


def _free_name(api: Backend, wanted: str, *, chosen: bool) -> str:
    """The name; one that was not chosen gets a number where it is taken."""
    taken = {one.get("name") for one in all_policies(api)}
    if wanted not in taken:
        return wanted
    if chosen:
        raise CommandFailed(
            ExitCode.CONFLICT, f"There is a notification {wanted!r} already.", fix="choose another --name"
        )
    return next(name for number in range(2, len(taken) + 3) if (name := f"{wanted}-{number}") not in taken)


def _made_block(api: Backend, kind: str, address: str | None, name: str, said: dict[str, Any]) -> Json:
    """A block with what was said; anything else that it needs is asked for, where somebody can answer."""
    found = kind_of(kind)
    given = {**found.fields(address or read_address(found)), **read_pairs(said["pairs"], "--set")}
    given |= {"to_emails": list(said["receivers"])} if said["receivers"] else {}
    given |= {"sender_email": said["sender"]} if said["sender"] else {}
    schema = newest_schema(api, found.slug)
    if "name" in (schema["fields"].get("required") or ()):
        given.setdefault("name", name)
    made = store_block(api, schema, _slug(name), completed(schema, given), overwrite=False)
    return {**made, "block_type": schema["block_type"]}


def _slug(name: str) -> str:
    """A name as blocks may have it."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return kept or "receiver"
