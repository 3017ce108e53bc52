"""`orion automation`: actions that are taken when events occur or stay out."""

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
            "log": Entry("Show what automations did, and their errors.", ".commands"),
        },
        "Act": {
            "create": Entry("Create an automation, from options or a file.", ".create"),
            "test": Entry("Send the messages of an automation now.", ".commands"),
            "pause": Entry("Pause automations.", ".commands"),
            "resume": Entry("Resume automations.", ".commands"),
            "delete": Entry("Delete automations.", ".commands"),
        },
    },
    examples=(
        ("orion automation create hung --stuck-in running --for 1h --cancel", "stop runs that hang"),
        ("orion automation create -f automations.yaml", "from a file"),
        ("orion automation log hung", "what did it do?"),
    ),
)
