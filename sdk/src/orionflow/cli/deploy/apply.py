"""Plans of deployments, shown and executed, for `orion deploy` and `orion deployment apply`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orionflow.calls.deployments import DEPLOYMENTS, check_deployment, create_deployment, read_deployment_by_name
from orionflow.calls.flows import create_flow
from orionflow.cli.backend import Backend, Json
from orionflow.cli.deploy.diff import GONE, SAME, Plan, plan_for
from orionflow.cli.deploy.orion_yaml import about, deployments_of, mark_of, refuse_nameless_pruning
from orionflow.cli.deployment.resource import full_names
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.output import Column
from orionflow.cli.session import Session, ask_before
from orionflow.cli.style import first_line

if TYPE_CHECKING:
    from orionflow.deployments import Deployment


def deploy_file(
    session: Session, path: Path, names: Sequence[str] = (), *, dry_run: bool, yes: bool, prune: bool = False
) -> None:
    """Deploy what a file describes: compare and check everything, then ask, then execute.

    All refusals are known before anything is changed.
    """
    if prune:
        refuse_nameless_pruning(path)
    deployments, notes = deployments_of(path, tuple(names))
    for note in notes:
        session.note(note)
    api, mark = session.api, mark_of(path)
    plans = [(one, plan_for(one.full_name, body_of(one, mark), _stored(api, one))) for one in deployments]
    gone = _gone(api, deployments, mark) if prune and mark else []
    doomed = [Plan(name, GONE) for name, _ in gone]
    refusals = _refusals(api, [one for one, plan in plans if dry_run or plan.kind != SAME], mark)
    if dry_run:
        _show(session, [*(plan for _, plan in plans), *doomed], dry_run=True)
    if refusals:
        for other in refusals[1:]:
            session.terminal.error(f"{other.what} {first_line(other.why, 300)}")
        raise refusals[0]
    if dry_run:
        session.note("Nothing was done; leave out --dry-run to do it.")
        return
    _ask_before_pruning(session, [name for name, _ in gone], str(mark), yes=yes)
    done: list[Plan] = []
    try:
        for one, plan in plans:
            _deploy(api, one, plan, mark)
            done.append(plan)
        for (_, stored), plan in zip(gone, doomed, strict=True):
            with about(plan.name, "was not deleted"):
                api.ask(DEPLOYMENTS.delete(stored["id"]))
            done.append(plan)
    finally:
        # Even after an error, show exactly what was done.
        _show(session, done, dry_run=False)


def _refusals(api: Backend, deployments: Sequence[Deployment], mark: str | None) -> list[CommandFailed]:
    """Ask the API which deployments it would refuse and why: schedules, pools, queues, parameters, calendars."""
    found = []
    for one in deployments:
        try:
            with about(one.full_name, "cannot be deployed"):
                api.ask(check_deployment(one.flow_name, one.name, body_of(one, mark)))
        except CommandFailed as refusal:
            if refusal.code == ExitCode.UNREACHABLE:
                raise
            found.append(refusal)
    return found


def _deploy(api: Backend, deployment: Deployment, plan: Plan, mark: str | None) -> None:
    if plan.kind == SAME:
        return
    with about(plan.name, "was not deployed"):
        flow = api.ask(create_flow(deployment.flow_name))
        api.ask(create_deployment(flow["id"], deployment.name, **body_of(deployment, mark)))


def _ask_before_pruning(session: Session, names: Sequence[str], mark: str, *, yes: bool) -> None:
    if not names:
        return
    project = mark.partition(":")[2]
    session.note(f"No longer in the file of the project {project}:")
    for name in names:
        session.note(f"  {name}")
    ask_before(f"delete {'this deployment' if len(names) == 1 else f'these {len(names)} deployments'}", yes=yes)


def body_of(deployment: Deployment, mark: str | None) -> Json:
    """Return the body that is sent, and compared with the stored deployment."""
    return {**deployment.to_wire(), "manifest_path": mark}


def _stored(api: Backend, deployment: Deployment) -> Json | None:
    from orionflow.errors import NotFound

    try:
        found: Json = api.ask(read_deployment_by_name(deployment.full_name))
    except NotFound:
        return None
    return found


def _gone(api: Backend, deployments: Sequence[Deployment], mark: str) -> list[tuple[str, Json]]:
    """Return the deployments that came from this project's file earlier and are no longer in it."""
    kept = {one.full_name for one in deployments}
    own = [one for one in api.pages(DEPLOYMENTS, {}, None) if one.get("manifest_path") == mark]
    names = full_names(api, own)
    return [(names[one["id"]], one) for one in own if names[one["id"]] not in kept]


def _show(session: Session, plans: Sequence[Plan], *, dry_run: bool) -> None:
    if not session.for_people:
        session.output.show_many([plan.as_object() for plan in plans], COLUMNS)
        return
    for plan in plans:
        line = f"{plan.name}: {_word(plan.kind, dry_run=dry_run)}"
        if dry_run:
            session.terminal.out(line)
        else:
            session.announce(line)
        if dry_run or session.terminal.verbose:
            for change in plan.changes:
                session.terminal.out(f"  {change.line()}")


COLUMNS = [
    Column("DEPLOYMENT", lambda row: row["name"], field="name"),
    Column("PLAN", lambda row: row["plan"], field="plan"),
    Column("FIELDS", lambda row: ", ".join(one["field"] for one in row["changes"]), field="changes"),
]


def _word(kind: str, *, dry_run: bool) -> str:
    if kind == SAME:
        return "no change"
    words = {"new": ("would be created", "created"), "changed": ("would be changed", "changed")}
    return words.get(kind, ("would be deleted", "deleted"))[0 if dry_run else 1]
