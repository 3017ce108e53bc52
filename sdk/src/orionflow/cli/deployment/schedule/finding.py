"""How a schedule is named: its number in the list, its id, or the beginning of that."""

from __future__ import annotations

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.deployment.columns import definition_text
from orionflow.cli.exit_codes import ExitCode


def schedules_of(api: Backend, deployment: Json) -> list[Json]:
    """The schedules of a deployment as they were added, so that their numbers stay."""
    found: list[Json] = api.get(f"/deployments/{deployment['id']}/schedules")
    return sorted(found, key=lambda one: (one["created"], one["id"]))


def find_schedule(api: Backend, deployment: Json, wanted: str | None) -> Json:
    """The one schedule that is meant; without a word, the only one there is."""
    every = schedules_of(api, deployment)
    found = every if wanted is None else _matching(every, wanted)
    if len(found) == 1:
        return found[0]
    lines = [f"{place}  {one['id']}  {definition_text(one['schedule'])}" for place, one in enumerate(every, start=1)]
    which = "schedules" if wanted is None else f"schedules that begin with {wanted!r}"
    what = f"{deployment['name']} has {len(found) or 'no'} {which}."
    raise CommandFailed(ExitCode.NOT_FOUND, what, "\n".join(lines), "give the number or the id of one" if lines else "")


def _matching(schedules: list[Json], wanted: str) -> list[Json]:
    if wanted.isdigit() and 1 <= int(wanted) <= len(schedules):
        return [schedules[int(wanted) - 1]]
    beginning = wanted.lower().replace("-", "")
    return [one for one in schedules if len(beginning) >= 4 and one["id"].replace("-", "").startswith(beginning)]
