"""I13: the roll-ups agree with a count of the runs."""

from __future__ import annotations

from collections.abc import Iterator

from deployments.upkeep.selectors.invariants.laws import Violation, rows_of
from runs.roll_ups.sql import differences


def wrong_roll_ups() -> Iterator[Violation]:
    for subject, _, bucket, state_type, state_name, runs, run_time, lateness, *_ in rows_of(differences()):
        where = f"{state_name or state_type or 'no state'} in {bucket or 'no time'}"
        beyond = f"{int(runs):+} runs, {int(run_time):+} µs of run time and {int(lateness):+} µs of lateness"
        yield Violation("I13", f"roll-up {subject}", f"differs from the runs themselves for {where}: by {beyond}")
