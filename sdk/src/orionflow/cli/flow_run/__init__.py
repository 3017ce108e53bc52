"""`orion flow-run`: queries about runs of flows, and actions on them."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

flow_run = LazyGroup(
    "flow-run",
    __name__,
    help="Runs of flows. A RUN is an id, the beginning of one (4 characters or more), a name, @last or @last-failed.",
    entries={
        "Look": {
            "ls": Entry("List runs, newest first.", ".show"),
            "inspect": Entry("Show one run and its states.", ".show"),
            "logs": Entry("Print the log of a run.", ".follow"),
            "why": Entry("Explain why a run is in the state it is in.", ".show"),
            "diff": Entry("Show the differences between two runs.", ".comparing"),
            "common": Entry("Show what runs have in common that others do not.", ".comparing"),
            "time": Entry("Show where the time went, for one run or for all.", ".time_spent"),
            "watch": Entry("Follow a run until it ends.", ".follow"),
            "export": Entry("Write a run as one HTML file.", ".exporting"),
            "pull": Entry("Pack a run into one file.", "orionflow.cli.pulling:pull"),
        },
        "Act": {
            "cancel": Entry("Cancel runs.", ".commands"),
            "resume": Entry("Resume a paused run.", ".commands"),
            "retry": Entry("Run a finished run again, as the same run.", ".retry"),
            "release": Entry("Free the slots of a run by ending its attempt.", ".commands"),
            "delete": Entry("Delete runs with their task runs and states.", ".commands"),
        },
    },
    examples=(
        ('orion flow-run ls "state:failed since:-24h"', "what failed today?"),
        ("orion fr logs -f @last", "the log of the newest run, as it grows"),
    ),
)
