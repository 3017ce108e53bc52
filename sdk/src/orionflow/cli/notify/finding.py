"""How a notification is named: its name, its id, or the beginning of that."""

from __future__ import annotations

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.cli.finding import missing

LISTING = "/flow_run_notification_policies/filter"
SHORTEST = 4


def all_policies(api: Backend, limit: int | None = None) -> list[Json]:
    return list(api.pages(LISTING, {}, limit))


def find_policy(api: Backend, wanted: str) -> Json:
    """The one that is meant; otherwise exit 5, with the candidates."""
    every = all_policies(api)
    found = [one for one in every if wanted in (one.get("name"), one["id"])]
    beginning = wanted.lower().replace("-", "")
    if not found and len(beginning) >= SHORTEST:
        found = [one for one in every if one["id"].replace("-", "").startswith(beginning)]
    if not found:
        names = [one["name"] for one in every if one.get("name")]
        raise missing("notification", wanted, names, command="orion notify ls")
    if len(found) > 1:
        lines = "\n".join(f"{one['id']}  {one.get('name') or ''}".rstrip() for one in found)
        raise CommandFailed(
            ExitCode.NOT_FOUND,
            f"{wanted!r} means more than one notification.",
            lines,
            "give the id of the one you mean",
        )
    return found[0]


def name_of(policy: Json) -> str:
    return str(policy.get("name") or policy["id"])
