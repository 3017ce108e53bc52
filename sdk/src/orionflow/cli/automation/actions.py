"""Actions created from options, and described in a few words."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json
from orionflow.cli.deployment.resource import find_deployment
from orionflow.cli.notify.receivers import receiver_block
from orionflow.cli.parameters import read_pairs
from orionflow.cli.resource import Options
from orionflow.cli.session import Session
from orionflow.cli.work_queue import find_queue

SUBJECT = "Automation {{ automation.name }}"
BODY = """{% if flow_run %}Flow run {{ flow_run.name }} is {{ flow_run.state.name }}.
{{ flow_run.state.message }}
{{ flow_run|ui_url }}{% else %}{{ event.event }} of {{ event.resource.name or event.resource.id }}{% endif %}"""


ACTION_PARAMS: tuple[click.Parameter, ...] = (
    click.Option(["--notify", "notified"], metavar="TYPE/NAME", multiple=True, help="Send a message to this block."),
    click.Option(["--subject"], metavar="TEXT", help="The subject of messages; Jinja."),
    click.Option(["--message"], metavar="TEXT", help="The text of messages; Jinja: '{{ flow_run.name }} failed'."),
    click.Option(["--webhook", "webhooks"], metavar="TYPE/NAME", multiple=True, help="Call this block's address."),
    click.Option(["--payload"], metavar="TEXT", help="The content to send; Jinja."),
    click.Option(["--run", "deployed"], metavar="DEPLOYMENT", multiple=True, help="Run this deployment."),
    click.Option(["-p", "--param", "pairs"], metavar="NAME=VALUE", multiple=True, help="A parameter of --run."),
    click.Option(["--pause-deployment", "stopped"], metavar="DEPLOYMENT", multiple=True, help="Pause it."),
    click.Option(["--pause-queue", "queues"], metavar="QUEUE", multiple=True, help="Pause this work queue."),
    click.Option(["--cancel"], is_flag=True, help="Cancel the run that the event is about."),
    click.Option(["--suspend"], is_flag=True, help="Suspend the run that the event is about."),
)


def actions_of(session: Session, options: Options) -> list[Json]:
    """Create the actions that the options ask for, in the order of the help."""
    made: list[Json] = []
    for name in options["notified"]:
        text = {"subject": options["subject"] or SUBJECT, "body": options["message"] or BODY}
        made.append({"type": "send-notification", "block_document_id": receiver_block(session, name)["id"], **text})
    for name in options["webhooks"]:
        block = receiver_block(session, name)["id"]
        made.append({"type": "call-webhook", "block_document_id": block, "payload": options["payload"] or ""})
    parameters = read_pairs(options["pairs"], "-p")
    for name in options["deployed"]:
        deployment = find_deployment(session, name)["id"]
        made.append({"type": "run-deployment", "deployment_id": deployment, "parameters": parameters})
    for name in options["stopped"]:
        made.append({"type": "pause-deployment", "deployment_id": find_deployment(session, name)["id"]})
    for name in options["queues"]:
        made.append({"type": "pause-work-queue", "work_queue_id": find_queue(session, name)["id"]})
    made += [{"type": "cancel-flow-run"}] if options["cancel"] else []
    made += [{"type": "suspend-flow-run"}] if options["suspend"] else []
    _refuse_leftovers(options)
    if not made:
        raise click.UsageError(
            "Say what to do: --notify, --webhook, --run, --cancel, --suspend, --pause-deployment or --pause-queue."
        )
    return made


def _refuse_leftovers(options: Options) -> None:
    belong = {"subject": "notified", "message": "notified", "payload": "webhooks", "pairs": "deployed"}
    option_names = {"notified": "--notify", "webhooks": "--webhook", "deployed": "--run", "pairs": "-p"}
    for option, owner in belong.items():
        if options[option] and not options[owner]:
            raise click.UsageError(f"{option_names.get(option, '--' + option)} belongs to {option_names[owner]}.")


def actions_text(automation: Json) -> str:
    every = [*automation["actions"], *automation["actions_on_trigger"]]
    return ", ".join(dict.fromkeys(one["type"] for one in every)) or "nothing"
