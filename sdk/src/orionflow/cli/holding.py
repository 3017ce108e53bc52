"""Who holds the places or slots of something limited, and who waits for one."""

from __future__ import annotations

from orionflow.cli.backend import Json
from orionflow.cli.looks import painted, state_label
from orionflow.cli.options import Output
from orionflow.cli.output import Column
from orionflow.cli.times import Clock


def show_runs(runs: list[Json], nobody: str, output: Output, clock: Clock) -> None:
    """The runs of one side, or the sentence that there are none."""
    output.show_many(runs, _columns(output, clock))
    if output.is_for_people and not runs:
        output.terminal.note(nobody)


def _columns(output: Output, clock: Clock) -> list[Column]:
    def state(run: Json) -> str:
        name = str(run["state_type"] or "").title()
        return state_label(run["state_type"], name, output.terminal)

    return [
        Column("STATE", state, field="state_type", paint=lambda text, run: painted(text, run["state_type"])),
        Column("RUN", lambda run: run["name"], field="name"),
        Column("KIND", lambda run: run["kind"].replace("-", " "), field="kind"),
        Column("SLOTS", lambda run: str(run["slots"]), field="slots"),
        Column("SINCE", lambda run: clock.near(run["since"]), field="since"),
        Column("UNTIL", lambda run: clock.near(run["until"]), field="until"),
        Column("ID", lambda run: run["id"], field="id"),
    ]
