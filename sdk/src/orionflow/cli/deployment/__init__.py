"""`orion deployment`: flows that were deployed, their schedules, and runs of them."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

deployment = LazyGroup(
    "deployment",
    __name__,
    help="Flows that were deployed. A DEPLOYMENT is flow/name, a name that only one has, or an id.",
    entries={
        "Look": {
            "ls": Entry("List deployments.", ".resource"),
            "inspect": Entry("Show one deployment and its newest runs.", ".resource"),
        },
        "Act": {
            "run": Entry("Have a deployment run once, now or later.", ".run"),
            "pause": Entry("Plan no further runs of deployments.", ".resource"),
            "resume": Entry("Plan runs of deployments again.", ".resource"),
            "adopt": Entry("Answer for the runs of what somebody else deployed.", ".resource"),
            "delete": Entry("Delete deployments; runs that have begun stay.", ".resource"),
            "schedule": Entry("When a deployment runs by itself.", ".schedule"),
            "backfill": Entry("Run a deployment for times that have passed.", ".backfill"),
        },
        "From files": {
            "build": Entry("Write a deployment of a flow as a file.", ".files"),
            "apply": Entry("Deploy what a file describes.", ".files"),
        },
    },
    examples=(
        ("orion deployment ls", ""),
        ("orion deployment run etl/prod -p limit=5", "an agent picks it up"),
        ("orion dep schedule preview etl/prod", "when will it run?"),
    ),
)
