"""`orion flow-run cancel`, `resume`, `release` and `delete`, and proposals of states with the answers of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from orionflow.calls.flow_runs import FLOW_RUNS, cancel_flow_run, propose_state, release_flow_run, resume_flow_run
from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import NEWEST, find_flow_run
from orionflow.cli.output import Column, plain_column
from orionflow.cli.parameters import read_pairs
from orionflow.cli.query import flow_run_filters
from orionflow.cli.session import Session, ask_before, command, destructive, with_params
from orionflow.cli.style import counted

MESSAGE = "Cancelled from the command line."
PLAN = [Column("RUN", lambda run: run["name"]), Column("STATE", lambda run: run["state_name"] or "-")]
RESULT = [plain_column(key) for key in ("name", "verdict", "state.name", "reason")]
# The runs that a command acts on: named ones, or all that a query finds, limited by --max.
selection = with_params(
    click.Argument(["runs"], metavar="[RUN]...", nargs=-1),
    click.Option(["--query"], metavar="QUERY", help='All runs that match, as in ls: --query "state:pending flow:etl".'),
    click.Option(
        ["--max", "most"], default=100, show_default=True, type=click.IntRange(min=1), help="Change at most this many."
    ),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a proposal: the run's state afterwards and, if a rule gave one, the reason."""

    verdict: str
    state: Json | None
    reason: str
    wrote: bool

    @property
    def state_name(self) -> str:
        return str(self.state["name"]) if self.state else "without a state"


def propose(api: Backend, run: Json, state_type: str, message: str, *, force: bool = False) -> Answer:
    """Propose a state for a flow run; the returned answer says whether a state was written."""
    state = {"type": state_type, "message": message}
    return read_answer(run, api.ask(propose_state(FLOW_RUNS, run["id"], state, force=force)))


def read_answer(run: Json, answer: Json) -> Answer:
    """Read the verdict; the rules may have written another state than the proposed one."""
    state = answer.get("state")
    wrote = answer["status"] in ("ACCEPT", "REJECT") and state is not None and state["id"] != run["state_id"]
    return Answer(answer["status"], state, answer["details"].get("reason") or "", wrote)


def report_run(session: Session, sentence: str, run: Json) -> None:
    """Report what was done to a run; programs get the run's current object."""
    session.report(sentence, lambda: session.api.ask(FLOW_RUNS.read(run["id"])))


def refused(run: Json, done: str, state_name: str, reason: str) -> CommandFailed:
    """Return the error for exit code 6 with the reason of the rule that refused."""
    what = f"{run['name']} cannot be {done}; it is {state_name}."
    return CommandFailed(ExitCode.CONFLICT, what, reason, f"orion flow-run why {run['name']}")


def _selected(session: Session, runs: Sequence[str], query: str | None, most: int) -> list[Json]:
    """Find the selected runs, each once; refuse more than the limit before anything is changed."""
    if bool(runs) == bool(query):
        raise click.UsageError("Name the runs, or give a --query; one of the two.")
    if query is None:
        return list({run["id"]: run for run in (_named(session.api, name) for name in runs)}.values())
    filters = flow_run_filters([query], session.clock, session.api)
    total = session.api.ask(FLOW_RUNS.count(filters))
    if total > most:
        raise CommandFailed(
            ExitCode.USAGE,
            f"The query finds {counted(total, 'run')}; the guard allows {most}.",
            fix=f"narrow it, or add --max {total}",
        )
    return list(session.api.pages(FLOW_RUNS, {**filters, "sort": NEWEST}, most))


def _named(api: Backend, name: str) -> Json:
    try:
        return find_flow_run(api, name)
    except CommandFailed as missing:
        if ":" in name:
            missing.fix = f'for all runs that match: --query "{name}"'
        raise


def _these(runs: Sequence[Json]) -> str:
    """Return `the run brave-otter`, or `12 runs`."""
    return f"the run {runs[0]['name']}" if len(runs) == 1 else f"{len(runs)} runs"


@command(
    "orion flow-run cancel brave-otter",
    ('orion fr cancel --query "flow:monitor state:running" --yes', "all that match"),
    ('orion fr cancel --query "state:pending" --dry-run', "only say which"),
    ("orion fr cancel brave-otter --detach", "its deployed subflows continue"),
    ("orion fr cancel brave-otter --force --yes", "when its process is gone and cannot answer"),
    times=True,
)
@selection
@click.option("--force", is_flag=True, help="Mark it Cancelled at once, for runs whose process is gone.")
@click.option("--detach", is_flag=True, help="Let nested runs of deployments continue on their own.")
@destructive
def cancel(
    session: Session, runs: Sequence[str], query: str | None, most: int, force: bool, detach: bool, yes: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Cancel runs. A running one stops at its next task; one that has not started is cancelled at once."""
    if force and detach:
        raise click.UsageError("--detach asks the rules, and --force does not; use one of them.")
    found = _selected(session, runs, query, most)
    if dry_run:
        session.note(f"Would cancel {_these(found)}.")
        session.output.show_many(found, PLAN)
        return
    if found and (query or force):
        ask_before(f"cancel {_these(found)}{', whatever the rules say' if force else ''}", yes=yes)
    _report_cancelled(session, [(run, _cancel(session.api, run, force=force, detach=detach)) for run in found])


def _cancel(api: Backend, run: Json, *, force: bool, detach: bool) -> Answer:
    if detach:
        return read_answer(run, api.ask(cancel_flow_run(run["id"], message=MESSAGE, detach=True)))
    return propose(api, run, "CANCELLED" if force else "CANCELLING", MESSAGE, force=force)


def _report_cancelled(session: Session, answers: Sequence[tuple[Json, Answer]]) -> None:
    if not answers:
        session.note("No runs match.")
    if not session.for_people:
        session.output.show_many([_as_object(run, answer) for run, answer in answers], RESULT)
    for run, answer in answers:
        if session.for_people and answer.wrote:
            session.announce(f"{run['name']} is {answer.state_name}" + (f": {answer.reason}" if answer.reason else "."))
    unchanged = [(run, answer) for run, answer in answers if not answer.wrote]
    for run, answer in unchanged[1:]:
        session.terminal.error(f"{run['name']} stays {answer.state_name}: {answer.reason}")
    if unchanged:
        run, answer = unchanged[0]
        raise refused(run, "cancelled", answer.state_name, answer.reason)


def _as_object(run: Json, answer: Answer) -> Json:
    came = {"verdict": answer.verdict, "state": answer.state, "reason": answer.reason}
    return {"id": run["id"], "name": run["name"], **came}


@command(
    ("orion flow-run resume brave-otter", "let a paused run continue"),
    ("orion fr resume brave-otter --input approved=true", "with the answer that it waits for"),
)
@click.argument("run", metavar="RUN")
@click.option("--input", "pairs", metavar="NAME=VALUE", multiple=True, help="One field of the answer; JSON or text.")
def resume(session: Session, run: str, pairs: Sequence[str]) -> None:
    """Resume a paused run."""
    found = find_flow_run(session.api, run)
    given = read_pairs(pairs, "--input") if pairs else None
    answer = read_answer(found, session.api.ask(resume_flow_run(found["id"], run_input=given)))
    if not answer.wrote:
        raise refused(found, "resumed", found["state_name"], answer.reason)
    report_run(session, f"{found['name']} is {answer.state_name}.", found)


@command(("orion flow-run release @last --dry-run", "only say which"), "orion fr release calm-fox --yes")
@click.argument("run", metavar="RUN")
@click.option("--message", metavar="TEXT", help="A reason, for the history.")
@destructive
def release(session: Session, run: str, message: str | None, yes: bool, dry_run: bool) -> None:
    """Free the slots of a run in queue, pool and deployment: its attempt ends as Crashed, or is tried again.

    For runs whose process has died or hangs. Later reports of the process are refused.
    """
    found = find_flow_run(session.api, run)
    if dry_run:
        session.note(f"Would end the attempt of {found['name']}, which is {found['state_name']}.")
        return
    ask_before(f"end the attempt of {found['name']}", yes=yes)
    state = session.api.ask(release_flow_run(found["id"], message=message or None))["state"]
    report_run(session, f"{found['name']} is {state['name'] if state else 'without a state'}.", found)


@command(
    "orion flow-run delete brave-otter --yes",
    ('orion fr delete --query "state:completed until:-30d" --max 500 --yes', "old ones"),
    ('orion fr delete --query "tag:scratch" --dry-run', "only say which"),
    times=True,
)
@selection
@destructive
def delete(session: Session, runs: Sequence[str], query: str | None, most: int, yes: bool, dry_run: bool) -> None:
    """Delete runs with their task runs and states. This cannot be undone."""
    found = _selected(session, runs, query, most)
    if dry_run:
        session.note(f"Would delete {_these(found)}.")
        session.output.show_many(found, PLAN)
        return
    if not found:
        session.note("No runs match.")
        return
    ask_before(f"delete {_these(found)}", yes=yes)
    for run in found:
        session.api.ask(FLOW_RUNS.delete(run["id"]))
    session.note(f"Deleted {_these(found)}.")
    if not session.for_people:
        session.output.show_many(found, PLAN)
