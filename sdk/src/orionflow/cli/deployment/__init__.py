"""`orion deployment`: flows that were deployed, their schedules, and runs of them."""

from __future__ import annotations

from orionflow.cli.lazy import Entry, LazyGroup

deployment = LazyGroup(
    "deployment",
    __name__,
    help="Deployments of flows. A DEPLOYMENT is flow/name, a name that only one has, or an id.",
    entries={
        "Look": {
            "ls": Entry("List deployments.", ".resource"),
            "inspect": Entry("Show one deployment and its newest runs.", ".resource"),
        },
        "Act": {
            "run": Entry("Start one run of a deployment, now or later.", ".run"),
            "pause": Entry("Pause deployments: plan no further runs.", ".resource"),
            "resume": Entry("Resume deployments: plan runs again.", ".resource"),
            "adopt": Entry("Become the author of a deployment.", ".resource"),
            "delete": Entry("Delete deployments; runs that have started stay.", ".resource"),
            "schedule": Entry("When a deployment runs by itself.", ".schedule"),
            "backfill": Entry("Run a deployment for times that have passed.", ".backfill"),
        },
        "From files": {
            "build": Entry("Write a deployment of a flow to a file.", ".files"),
            "apply": Entry("Deploy what a file describes.", ".files"),
        },
    },
    examples=(
        ("orion deployment ls", ""),
        ("orion deployment run etl/prod -p limit=5", "an agent picks it up"),
        ("orion dep schedule preview etl/prod", "when will it run?"),
    ),
)
