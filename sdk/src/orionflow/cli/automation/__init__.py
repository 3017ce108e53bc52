"""`orion automation`: something is done when events come, or fail to."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

automation = LazyGroup(
    "automation",
    __name__,
    help="Something is done when events come, or fail to. An AUTOMATION is a name or an id.",
    entries={
        "Look": {
            "ls": Entry("List automations.", ".commands"),
            "inspect": Entry("Show one automation.", ".commands"),
            "log": Entry("Show what automations did, and what went wrong.", ".commands"),
        },
        "Act": {
            "create": Entry("Make an automation, by options or from a file.", ".create"),
            "test": Entry("Send the messages of an automation now.", ".commands"),
            "pause": Entry("Let automations do nothing for a while.", ".commands"),
            "resume": Entry("Let automations act again.", ".commands"),
            "delete": Entry("Delete automations.", ".commands"),
        },
    },
    examples=(
        ("orion automation create hung --stuck-in running --for 1h --cancel", "stop runs that hang"),
        ("orion automation create -f automations.yaml", "from a file"),
        ("orion automation log hung", "what did it do?"),
    ),
)
