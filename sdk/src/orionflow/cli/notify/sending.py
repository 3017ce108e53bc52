"""Test messages, and what came of them."""

from __future__ import annotations

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.options import Output

# The receiver may take its time, and the command waits for it.
PATIENCE_SECONDS = 30.0


def try_policy(api: Backend, policy: Json) -> Json:
    sent: Json = api.post("/notifications/test", {"policy_id": policy["id"]})
    return sent


def try_block(api: Backend, block: Json) -> Json:
    sent: Json = api.post("/notifications/test", {"block_document_id": block["id"]})
    return sent


def show_outcome(sent: Json, output: Output) -> None:
    """Say that the message was taken in; one that was not is exit 1, with the receiver's answer."""
    outcome = sent["attempts"][-1]["outcome"] if sent["attempts"] else "nothing was sent"
    if not output.is_for_people:
        output.show_one(sent, name="id")
    if sent["standing"] != "SENT":
        raise CommandFailed(ExitCode.FAILED, "The test message did not arrive.", outcome, "orion notify log")
    if output.is_for_people:
        short = " in its short form" if sent["is_short"] else ""
        output.terminal.say(f"The test message was taken in{short}.")
