"""`orion notify create`: a receiver, and the runs that it gets messages about."""

from __future__ import annotations

from typing import Any

import click

from orionflow.calls.events import NOTIFICATION_POLICIES
from orionflow.cli.backend import Backend, Json, without_none
from orionflow.cli.block import block_title
from orionflow.cli.block_making import completed, newest_schema, store_block
from orionflow.cli.deployment.resource import find_deployment
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.notify.commands import all_notifications, send_test
from orionflow.cli.notify.receivers import kind_of, read_address, receiver_block
from orionflow.cli.parameters import read_pairs
from orionflow.cli.query import read_states, states_text
from orionflow.cli.session import Session, command

# The states that cause messages without --on.
USUAL = ("failed", "crashed")


@command(
    ("orion notify create slack --name ops", "asks for the webhook's address"),
    ("orion notify create webhook https://example.org/hook --name hook --on failed,crashed,late", ""),
    ("orion notify create --block slack-webhook/team --flow etl --on failed", "to a block that is there"),
    ("orion notify create mail --to ada@example.org --from orion@example.org < key.txt", "through SendGrid"),
)
@click.argument("kind", required=False)
@click.argument("address", required=False)
@click.option("--name", metavar="NAME", help="Its name; otherwise that of its kind.")
@click.option("--block", metavar="TYPE/NAME", help="Send to this existing block.")
@click.option("--on", "states", metavar="STATE,…", multiple=True, help="In which states; failed,crashed by default.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with one of these tags.")
@click.option("--flow", "flows", metavar="FLOW", multiple=True, help="Only runs of these flows.")
@click.option(
    "--deployment", "deployments", metavar="DEPLOYMENT", multiple=True, help="Only runs of these deployments."
)
@click.option("--message", metavar="TEXT", help="The text, such as '{flow_run_name} is {flow_run_state_name}'.")
@click.option("--to", "receivers", metavar="MAIL", multiple=True, help="For mail: the recipients.")
@click.option("--from", "sender", metavar="MAIL", help="For mail: the sender.")
@click.option("--set", "pairs", metavar="FIELD=VALUE", multiple=True, help="Another field of the block.")
@click.option("--test", "tries", is_flag=True, help="Send a test message at once.")
def create(session: Session, kind: str | None, address: str | None, tries: bool, **options: Any) -> None:
    """Send a message when runs enter certain states. KIND is slack, teams, mail, webhook, discord, mattermost,
    opsgenie, pagerduty or custom.

    ADDRESS is the webhook's address or the service's key. It is a secret: leave it out to be asked for it, or give it
    on stdin. It is stored encrypted in a block, and never shown.
    """
    if (kind is None) == (options["block"] is None):
        raise click.UsageError("Name a kind of receiver, such as slack, or a --block that is there.")
    types, names = read_states(options["states"] or USUAL)
    wanted = options["name"] or kind or str(options["block"]).rpartition("/")[2]
    policy = {
        "name": _free_name(session.api, wanted, chosen=bool(options["name"])),
        "state_types": types,
        "state_names": names,
        "tags": list(options["tags"]),
        "flow_names": list(options["flows"]),
        "deployment_ids": [find_deployment(session, one)["id"] for one in options["deployments"]],
        "message_template": options["message"],
    }
    if kind is None:
        block = receiver_block(session, options["block"])
    else:
        block = _made_block(session.api, kind, address, policy["name"], options)
    made = session.api.ask(NOTIFICATION_POLICIES.create(without_none({**policy, "block_document_id": block["id"]})))
    sentence = f"Created the notification {made['name']}: {states_text(types, names)}, to {block_title(block)}."
    session.report(sentence, made)
    if session.for_people:
        _note_next_steps(session, made["name"], tries=tries)
    if tries:
        send_test(session, {"policy_id": made["id"]})


def _note_next_steps(session: Session, name: str, *, tries: bool) -> None:
    from orionflow.settings import current_settings

    if not tries:
        session.note(f"Try it: orion notify test {name}")
    if current_settings().api_url is None:
        session.note("Messages are sent while a server runs: orion server start")


def _free_name(api: Backend, wanted: str, *, chosen: bool) -> str:
    """Return the name; a name that the user did not choose gets a number if it is taken."""
    taken = {one.get("name") for one in all_notifications(api)}
    if wanted not in taken:
        return wanted
    if chosen:
        raise CommandFailed(
            ExitCode.CONFLICT, f"There is a notification {wanted!r} already.", fix="choose another --name"
        )
    return next(name for number in range(2, len(taken) + 3) if (name := f"{wanted}-{number}") not in taken)


def _made_block(api: Backend, kind: str, address: str | None, name: str, options: dict[str, Any]) -> Json:
    """Create a block from the options; prompt for missing values if a user can answer."""
    found = kind_of(kind)
    given = {**found.fields(address or read_address(found)), **read_pairs(options["pairs"], "--set")}
    given |= {"to_emails": list(options["receivers"])} if options["receivers"] else {}
    given |= {"sender_email": options["sender"]} if options["sender"] else {}
    schema = newest_schema(api, found.slug)
    if "name" in (schema["fields"].get("required") or ()):
        given.setdefault("name", name)
    made = store_block(api, schema, _slug(name), completed(schema, given), overwrite=False)
    return {**made, "block_type": schema["block_type"]}


def _slug(name: str) -> str:
    """Return the name in the form that blocks allow."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower()).strip("-")
    return kept or "receiver"
