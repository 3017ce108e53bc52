"""`orion automation`: something is done when events come, or fail to."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.automation"
LOOK, ACT = "Look", "Act"

automation = LazyGroup(
    "automation",
    context_settings=HELP_NAMES,
    help="Something is done when events come, or fail to. An AUTOMATION is a name or an id.",
    entries={
        "ls": Entry(f"{HERE}.looking:ls", "List automations.", section=LOOK),
        "inspect": Entry(f"{HERE}.looking:inspect", "Show one automation.", ("show",), LOOK),
        "log": Entry(f"{HERE}.looking:log", "Show what automations did, and what went wrong.", section=LOOK),
        "create": Entry(f"{HERE}.create:create", "Make an automation, by options or from a file.", section=ACT),
        "test": Entry(f"{HERE}.changing:test", "Send the messages of an automation now.", section=ACT),
        "pause": Entry(f"{HERE}.changing:pause", "Let automations do nothing for a while.", section=ACT),
        "resume": Entry(f"{HERE}.changing:resume", "Let automations act again.", section=ACT),
        "delete": Entry(f"{HERE}.changing:delete", "Delete automations.", ("rm",), ACT),
    },
    examples=(
        ("orion automation create hung --stuck-in running --for 1h --cancel", "stop runs that hang"),
        ("orion automation create -f automations.yaml", "from a file"),
        ("orion automation log hung", "what did it do?"),
    ),
)
