"""How a deployment is named on the command line: `flow/name`, a name that only one has, an id or its beginning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote
from uuid import UUID

from orionflow.cli.backend import Backend, Json
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode
from orionflow.spelling import near

_PREFIX = re.compile(r"^[0-9a-fA-F][0-9a-fA-F-]{3,35}$")
_MOST = 10_000


def find_deployment(api: Backend, wanted: str) -> Json:
    """The one deployment that is meant; otherwise exit 5, with the candidates."""
    if "/" in wanted:
        return _by_full_name(api, wanted)
    from orionflow.errors import NotFound

    try:
        found: Json = api.get(f"/deployments/{UUID(wanted)}")
    except ValueError:
        return _by_name_or_prefix(api, wanted)
    except NotFound:
        raise _missing(api, wanted) from None
    return found


def _by_full_name(api: Backend, wanted: str) -> Json:
    from orionflow.errors import NotFound

    flow, _, name = wanted.partition("/")
    try:
        found: Json = api.get(f"/deployments/name/{quote(flow, safe='')}/{quote(name, safe='')}")
    except NotFound:
        raise _missing(api, wanted) from None
    return found


def _by_name_or_prefix(api: Backend, wanted: str) -> Json:
    found = list(api.pages("/deployments/filter", {"deployments": {"name": {"any_": [wanted]}}}, 20))
    if not found and _PREFIX.match(wanted):
        beginning = wanted.lower().replace("-", "")
        every = api.pages("/deployments/filter", {}, _MOST)
        found = [one for one in every if one["id"].replace("-", "").startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise _missing(api, wanted)
    names = full_names(api, found)
    raise CommandFailed(
        ExitCode.NOT_FOUND,
        f"{wanted!r} means more than one deployment.",
        "\n".join(f"{one['id']}  {names[one['id']]}" for one in found),
        "write flow/name",
    )


def full_names(api: Backend, deployments: Sequence[Json]) -> dict[str, str]:
    """`flow/name` by the deployments' ids."""
    ids = sorted({one["flow_id"] for one in deployments})
    found = api.pages("/flows/filter", {"flows": {"id": {"any_": ids}}}, None) if ids else ()
    flows = {flow["id"]: flow["name"] for flow in found}
    return {one["id"]: f"{flows.get(one['flow_id'], '?')}/{one['name']}" for one in deployments}


def full_name(api: Backend, deployment: Json) -> str:
    return full_names(api, [deployment])[deployment["id"]]


def _missing(api: Backend, wanted: str) -> CommandFailed:
    known = list(full_names(api, list(api.pages("/deployments/filter", {}, 1000))).values())
    proposals = near(wanted, known)
    fix = f"did you mean {' or '.join(proposals)}?" if proposals else "orion deployment ls"
    return CommandFailed(ExitCode.NOT_FOUND, f"There is no deployment {wanted!r}.", fix=fix)
