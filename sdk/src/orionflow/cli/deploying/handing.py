"""Plans shown and carried out: what `orion deploy` and `orion deployment apply` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orionflow.cli.backend import Backend, Json
from orionflow.cli.deploying.comparing import GONE, SAME, Plan, plan_for
from orionflow.cli.deployment.finding import full_names
from orionflow.cli.options import Output, ask_before
from orionflow.cli.output import Column

if TYPE_CHECKING:
    from orionflow.deployments import Deployment


def hand_over(
    api: Backend,
    deployments: Sequence[Deployment],
    *,
    mark: str,
    dry_run: bool,
    prune: bool,
    yes: bool,
    output: Output,
) -> None:
    """Compare, tell, and unless it is a dry run do: one request for each deployment that differs."""
    plans = [(one, plan_for(one.full_name, body_of(one, mark), _stored(api, one))) for one in deployments]
    gone = _gone(api, deployments, mark) if prune else []
    doomed = [Plan(name, GONE) for name, _ in gone]
    _show([*(plan for _, plan in plans), *doomed], output, dry_run=dry_run)
    if dry_run:
        return
    if gone:
        ask_before(f"delete {', '.join(name for name, _ in gone)}", yes=yes)
    for one, plan in plans:
        if plan.kind != SAME:
            flow = api.post("/flows/", {"name": one.flow_name, "tags": []})
            api.post("/deployments/", {"flow_id": flow["id"], "name": one.name, **body_of(one, mark)})
    for _, stored in gone:
        api.delete(f"/deployments/{stored['id']}")


def body_of(deployment: Deployment, mark: str) -> Json:
    """What is sent, and compared with what is there."""
    return {**deployment.to_wire(), "manifest_path": mark}


def _stored(api: Backend, deployment: Deployment) -> Json | None:
    from orionflow.errors import NotFound

    flow, name = quote(deployment.flow_name, safe=""), quote(deployment.name, safe="")
    try:
        found: Json = api.get(f"/deployments/name/{flow}/{name}")
    except NotFound:
        return None
    return found


def _gone(api: Backend, deployments: Sequence[Deployment], mark: str) -> list[tuple[str, Json]]:
    """Deployments that came from this project's file once and are in it no more."""
    kept = {one.full_name for one in deployments}
    own = [one for one in api.pages("/deployments/filter", {}, None) if one.get("manifest_path") == mark]
    names = full_names(api, own)
    return [(names[one["id"]], one) for one in own if names[one["id"]] not in kept]


def _show(plans: Sequence[Plan], output: Output, *, dry_run: bool) -> None:
    if not output.is_for_people:
        output.show_many([plan.as_object() for plan in plans], COLUMNS)
        return
    for plan in plans:
        output.terminal.out(f"{plan.name}: {_word(plan.kind, dry_run=dry_run)}")
        if dry_run or output.terminal.verbose:
            for change in plan.changes:
                output.terminal.out(f"  {change.line()}")
    if dry_run:
        output.terminal.note("Nothing was done; leave out --dry-run to do it.")


COLUMNS = [
    Column("DEPLOYMENT", lambda row: row["name"], field="name"),
    Column("PLAN", lambda row: row["plan"], field="plan"),
    Column("FIELDS", lambda row: ", ".join(_fields(row)), field="changes"),
]


def _fields(row: dict[str, Any]) -> list[str]:
    return [change["field"] for change in row["changes"]]


def _word(kind: str, *, dry_run: bool) -> str:
    if kind == SAME:
        return "no change"
    words = {"new": ("would be created", "created"), "changed": ("would be changed", "changed")}
    return words.get(kind, ("would be deleted", "deleted"))[0 if dry_run else 1]
