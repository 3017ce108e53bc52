"""`orion notify`: who is told of runs that fail, and how it went."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.notify"
LOOK, ACT = "Look", "Act"

notify = LazyGroup(
    "notify",
    context_settings=HELP_NAMES,
    help="Messages about flow runs: to Slack, Teams, by mail, to any webhook. A NOTIFICATION is a name or an id.",
    entries={
        "ls": Entry(f"{HERE}.looking:ls", "List notifications.", section=LOOK),
        "inspect": Entry(f"{HERE}.looking:inspect", "Show one notification.", ("show",), LOOK),
        "log": Entry(f"{HERE}.looking:log", "Show what was sent, attempt by attempt.", section=LOOK),
        "create": Entry(f"{HERE}.create:create", "Send a message when runs fail.", section=ACT),
        "test": Entry(f"{HERE}.changing:test", "Send a test message now.", section=ACT),
        "pause": Entry(f"{HERE}.changing:pause", "Send nothing for a while.", section=ACT),
        "resume": Entry(f"{HERE}.changing:resume", "Send messages again.", section=ACT),
        "delete": Entry(f"{HERE}.changing:delete", "Delete notifications.", ("rm",), ACT),
    },
    examples=(
        ("orion notify create slack --name ops", "asks for the webhook's address"),
        ("orion notify test ops", "does it arrive?"),
        ("orion notify log", "what was sent, and what went wrong?"),
    ),
)
