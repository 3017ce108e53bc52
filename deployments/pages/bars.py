"""The last runs of a deployment as bars: height is duration, colour and shape are the state; a text repeats it.

One path for each state keeps a page of fifty rows with thirty bars small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import sqrt

from deployments.pages.selectors.deployment_lines import LAST_RUNS, duration_of
from runs.models import FlowRun
from runs.templatetags.states import look

HEIGHT, WIDTH, STEP = 22, 5, 7
LOWEST = 6


@dataclass(frozen=True, slots=True)
class Bars:
    """Paths by type of state, the size of the drawing, and its description."""

    paths: Sequence[tuple[str, str]]
    width: int
    height: int
    text: str


def bars_of(runs: Sequence[FlowRun], now: datetime) -> Bars:
    """Draw runs, oldest first, with the square root of the duration as height. The newest is at the right edge."""
    seconds = [duration_of(run, now).total_seconds() for run in runs]
    # With square roots, one long run does not flatten all others, and moderate differences are still visible.
    top = sqrt(max(seconds, default=0)) or 1
    first = LAST_RUNS - len(runs)
    paths: dict[str, list[str]] = {}
    for number, (run, length) in enumerate(zip(runs, seconds, strict=True), start=first):
        height = round(LOWEST + (HEIGHT - LOWEST) * sqrt(length) / top, 1)
        paths.setdefault(run.state_type or "", []).append(_shape(run.state_type or "", number * STEP, height))
    drawn = [(kind, "".join(shapes)) for kind, shapes in paths.items()]
    return Bars(drawn, LAST_RUNS * STEP - (STEP - WIDTH), HEIGHT, text_of(runs))


def _shape(kind: str, x: int, height: float) -> str:
    """Return a bar: flat if completed, pointed if failed, broken if crashed, thin if cancelled, hollow if running."""
    y = round(HEIGHT - height, 1)
    match kind:
        case "COMPLETED":
            return f"M{x} {HEIGHT}V{y}h{WIDTH}V{HEIGHT}z"
        case "FAILED":
            return f"M{x} {HEIGHT}V{y + 4:g}l2.5-4 2.5 4V{HEIGHT}z"
        case "CRASHED":
            return f"M{x} {HEIGHT}v-2.5h{WIDTH}v2.5zM{x} {HEIGHT - 4}V{y:g}l{WIDTH} 2V{HEIGHT - 4}z"
        case "CANCELLED" | "CANCELLING":
            return f"M{x + 1.5} {HEIGHT}V{y}h2V{HEIGHT}z"
        case "RUNNING":
            return f"M{x} {HEIGHT}V{y}h{WIDTH}V{HEIGHT}zm1.5-1.5h2V{y + 1.5:g}h-2z"
        case "PAUSED":
            return f"M{x} {HEIGHT}V{y}h1.5V{HEIGHT}zM{x + 3.5} {HEIGHT}V{y}h1.5V{HEIGHT}z"
    return f"M{x + 0.5} {HEIGHT}v-4h4v4z"


def text_of(runs: Iterable[FlowRun]) -> str:
    """Return the states in order, oldest first: `12 completed, 1 failed, 3 completed`."""
    words = [look(run.state_type, run.state_name)[1].lower() for run in runs]
    return ", ".join(f"{len(list(group))} {word}" for word, group in groupby(words))
