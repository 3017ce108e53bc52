"""`orion notify`: messages about runs that fail, and the log of their delivery."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

notify = LazyGroup(
    "notify",
    __name__,
    help="Messages about flow runs: to Slack, Teams, by mail, to any webhook. A NOTIFICATION is a name or an id.",
    entries={
        "Look": {
            "ls": Entry("List notifications.", ".commands"),
            "inspect": Entry("Show one notification.", ".commands"),
            "log": Entry("Show what was sent, attempt by attempt.", ".commands"),
        },
        "Act": {
            "create": Entry("Send a message when runs fail.", ".create"),
            "test": Entry("Send a test message now.", ".commands"),
            "pause": Entry("Pause notifications.", ".commands"),
            "resume": Entry("Resume notifications.", ".commands"),
            "delete": Entry("Delete notifications.", ".commands"),
        },
    },
    examples=(
        ("orion notify create slack --name ops", "asks for the webhook's address"),
        ("orion notify test ops", "does it arrive?"),
        ("orion notify log", "what was sent, and what went wrong?"),
    ),
)
