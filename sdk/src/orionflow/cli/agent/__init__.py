"""`orion agent`: processes that take runs of deployed flows from work queues."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.agent"

agent = LazyGroup(
    "agent",
    context_settings=HELP_NAMES,
    entries={
        "start": Entry(f"{HERE}.start:start", "Execute runs of deployed flows."),
        "ls": Entry(f"{HERE}.ls:ls", "List the agents, and which of them are alive."),
    },
    examples=(
        ("orion agent start -q default", "serve a queue"),
        ("orion agent ls", "who serves what?"),
    ),
    help="Agents: they take runs of deployed flows from work queues and execute each in a process of its own.",
)
