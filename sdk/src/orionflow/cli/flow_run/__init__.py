"""`orion flow-run`: everything that can be asked of and done to runs of flows, one module per command."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.flow_run"
LOOK, ACT = "Look", "Act"

flow_run = LazyGroup(
    "flow-run",
    context_settings=HELP_NAMES,
    help="Runs of flows. A RUN is an id, the beginning of one (4 characters or more), a name, @last or @last-failed.",
    entries={
        "ls": Entry(f"{HERE}.ls:ls", "List runs, newest first.", section=LOOK),
        "inspect": Entry(f"{HERE}.inspect:inspect", "Show one run and its states.", ("show",), LOOK),
        "logs": Entry(f"{HERE}.logs:logs", "Print the log of a run.", section=LOOK),
        "why": Entry(f"{HERE}.why:why", "Explain why a run is in the state it is in.", section=LOOK),
        "watch": Entry(f"{HERE}.watch:watch", "Follow a run until it ends.", section=LOOK),
        "cancel": Entry(f"{HERE}.cancel:cancel", "Cancel runs.", section=ACT),
        "resume": Entry(f"{HERE}.resume:resume", "Let a paused run go on.", section=ACT),
        "retry": Entry(f"{HERE}.retry:retry", "Run a finished run again, as the same run.", section=ACT),
        "release": Entry(f"{HERE}.release:release", "Take a run's places away by ending its attempt.", (), ACT),
        "delete": Entry(f"{HERE}.delete:delete", "Delete runs with their task runs and states.", ("rm",), ACT),
    },
    examples=(
        ('orion flow-run ls "state:failed since:-24h"', "what failed today?"),
        ("orion fr logs -f @last", "the log of the newest run, as it grows"),
    ),
)
