"""How an automation is named: its name, its id, or the beginning of that."""

from __future__ import annotations

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.finding import missing

LISTING = "/automations/filter"
SHORTEST = 4


def find_automation(api: Backend, wanted: str) -> Json:
    """The one that is meant; otherwise exit 5, with the candidates."""
    found = list(api.pages(LISTING, {"automations": {"name": {"any_": [wanted]}}}, 20))
    if not found:
        every = list(api.pages(LISTING, {}, None))
        beginning = wanted.lower().replace("-", "")
        if len(beginning) >= SHORTEST:
            found = [one for one in every if one["id"].replace("-", "").startswith(beginning)]
        if not found:
            raise missing("automation", wanted, [one["name"] for one in every])
    if len(found) > 1:
        lines = "\n".join(f"{one['id']}  {one['name']}" for one in found)
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"{wanted!r} means more than one automation.", lines, "give the id of one"
        )
    return found[0]
