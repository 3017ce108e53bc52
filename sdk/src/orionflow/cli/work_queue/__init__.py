"""`orion work-queue`: the lines in which runs wait for an agent."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.work_queue"
LOOK, ACT = "Look", "Act"

work_queue = LazyGroup(
    "work-queue",
    context_settings=HELP_NAMES,
    help="The lines in which runs wait for an agent. A QUEUE is a name, pool/name for one of another pool, or an id.",
    entries={
        "ls": Entry(f"{HERE}.looking:ls", "List work queues.", section=LOOK),
        "inspect": Entry(f"{HERE}.looking:inspect", "Show a queue and whether it is healthy.", ("show",), LOOK),
        "preview": Entry(f"{HERE}.looking:preview", "Show the runs that would be started next.", section=LOOK),
        "holders": Entry(f"{HERE}.looking:holders", "The runs that hold places in a queue.", section=LOOK),
        "waiters": Entry(f"{HERE}.looking:waiters", "The due runs that wait for a place in it.", section=LOOK),
        "create": Entry(f"{HERE}.changing:create", "Create a work queue.", section=ACT),
        "pause": Entry(f"{HERE}.changing:pause", "Start no runs of a queue.", section=ACT),
        "resume": Entry(f"{HERE}.changing:resume", "Start runs of a queue again.", section=ACT),
        "set-concurrency-limit": Entry(
            f"{HERE}.changing:set_limit", "Limit how many of its runs go at once.", section=ACT
        ),
        "clear-concurrency-limit": Entry(f"{HERE}.changing:clear_limit", "Lift the limit of a queue.", section=ACT),
        "priority": Entry(f"{HERE}.changing:priority", "Serve a queue before or after others.", section=ACT),
        "delete": Entry(f"{HERE}.changing:delete", "Delete a work queue.", ("rm",), ACT),
    },
    examples=(
        ("orion work-queue ls", ""),
        ("orion work-queue create big --limit 2", "two runs at once"),
        ("orion wq preview big", "what comes next?"),
    ),
)
