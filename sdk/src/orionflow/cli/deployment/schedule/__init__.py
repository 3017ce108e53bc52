"""`orion deployment schedule`: when a deployment runs by itself."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.deployment.schedule"
LOOK, ACT = "Look", "Act"

schedule = LazyGroup(
    "schedule",
    context_settings=HELP_NAMES,
    help="When a deployment runs by itself. A SCHEDULE is its id, the beginning of one, or its number in the list.",
    entries={
        "ls": Entry(f"{HERE}.ls:ls", "List the schedules of a deployment.", section=LOOK),
        "preview": Entry(f"{HERE}.preview:preview", "Show the next times of a deployment.", section=LOOK),
        "export": Entry(f"{HERE}.preview:export", "Print planned runs as a calendar.", section=LOOK),
        "create": Entry(f"{HERE}.create:create", "Add a schedule to a deployment.", section=ACT),
        "pause": Entry(f"{HERE}.changing:pause", "Plan nothing by a schedule.", section=ACT),
        "resume": Entry(f"{HERE}.changing:resume", "Plan by a schedule again.", section=ACT),
        "delete": Entry(f"{HERE}.changing:delete", "Delete a schedule.", ("rm",), ACT),
        "clear": Entry(f"{HERE}.changing:clear", "Delete all schedules of a deployment.", section=ACT),
    },
    examples=(
        ('orion deployment schedule create etl/prod --cron "0 6 * * 1-5" --timezone Europe/Berlin', ""),
        ("orion dep schedule preview etl/prod --count 10", "when will it run?"),
    ),
)
