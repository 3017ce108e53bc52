"""`orion task-run`: what can be asked of runs of tasks, one module per command."""

from __future__ import annotations

from orionflow.cli.command import HELP_NAMES
from orionflow.cli.lazy import Entry, LazyGroup

HERE = "orionflow.cli.task_run"

task_run = LazyGroup(
    "task-run",
    context_settings=HELP_NAMES,
    help=(
        "Runs of tasks. A TASK_RUN is an id, the beginning of one, a name, flow-run/task-run (brave-otter/extract-0), "
        "@last or @last-failed."
    ),
    entries={
        "ls": Entry(f"{HERE}.ls:ls", "List task runs, newest first."),
        "inspect": Entry(f"{HERE}.inspect:inspect", "Show one task run and its states.", ("show",)),
        "logs": Entry(f"{HERE}.logs:logs", "Print the log of a task run."),
        "why": Entry(f"{HERE}.why:why", "Explain why a task run is in the state it is in."),
    },
    examples=(
        ("orion task-run ls run:brave-otter state:failed", "which tasks of this run failed?"),
        ("orion tr why @last-failed", "why did it fail?"),
    ),
)
