"""`orion deployment`: flows that were handed to Orion, their schedules, and runs of them."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.deployment"
LOOK, ACT, FILES = "Look", "Act", "From files"

deployment = LazyGroup(
    "deployment",
    context_settings=HELP_NAMES,
    help="Flows that were handed to Orion. A DEPLOYMENT is flow/name, a name that only one has, or an id.",
    entries={
        "ls": Entry(f"{HERE}.ls:ls", "List deployments.", section=LOOK),
        "inspect": Entry(f"{HERE}.inspect:inspect", "Show one deployment and its newest runs.", ("show",), LOOK),
        "run": Entry(f"{HERE}.run:run", "Have a deployment run once, now or later.", section=ACT),
        "pause": Entry(f"{HERE}.changing:pause", "Plan no further runs of deployments.", section=ACT),
        "resume": Entry(f"{HERE}.changing:resume", "Plan runs of deployments again.", section=ACT),
        "delete": Entry(f"{HERE}.changing:delete", "Delete deployments; runs that have begun stay.", ("rm",), ACT),
        "schedule": Entry(f"{HERE}.schedule:schedule", "When a deployment runs by itself.", section=ACT),
        "build": Entry(f"{HERE}.files:build", "Write a deployment of a flow as a file.", section=FILES),
        "apply": Entry(f"{HERE}.files:apply", "Hand over the deployments of a file.", section=FILES),
    },
    examples=(
        ("orion deployment ls", ""),
        ("orion deployment run etl/prod -p limit=5", "an agent picks it up"),
        ("orion dep schedule preview etl/prod", "when will it run?"),
    ),
)
