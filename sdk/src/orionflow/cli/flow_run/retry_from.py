"""`orion flow-run retry --from`: run a finished run again from some of its tasks, after a preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.retries import preview_retry, retry_flow_run
from orionflow.cli.backend import Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.flow_run.commands import refused
from orionflow.cli.flow_run.follow import watch_run
from orionflow.cli.run import rerun_here
from orionflow.cli.session import Session, ask_before
from orionflow.cli.style import counted
from orionflow.cli.times import duration
from orionflow.contract.ids import uuid7

if TYPE_CHECKING:
    from orionflow.flows import Flow

CAUSES = {
    "chosen": "chosen",
    "depends": "take input from what runs again",
    "inside": "in or around a nested run that runs again",
    "unfinished": "did not complete",
    "unstored": "have no stored result",
    "changed": "changed arguments, which no result repeats",
    "expired": "have a result that expired",
    "unknown": "cannot be compared",
}


class RetryFrom:
    """One retry from the command line; `flow` is the code if this process executes the run."""

    def __init__(self, session: Session, run: Json, wanted: Sequence[str], new_run: bool, flow: Flow[Any, Any] | None):
        self.session, self.run, self.wanted, self.new_run, self.flow = session, run, list(wanted), new_run, flow

    def preview(self) -> Json:
        """Request the preview."""
        call = preview_retry(self.run["id"], from_tasks=self.wanted, new_run=self.new_run, process=self._process())
        found: Json = self.session.api.ask(call)
        return found

    def show(self, preview: Json) -> None:
        """Show the preview to users; programs get the answer of the API."""
        if not self.session.for_people:
            self.session.show_one(preview)
            return
        for line in lines_of(preview):
            self.session.note(line)

    def begin(self, preview: Json, *, yes: bool, watch: bool) -> int:
        """Ask, and start the retry; return the exit code."""
        if preview["refusals"]:
            raise refused(self.run, "retried", self.run["state_name"], preview["refusals"][0])
        if self.session.for_people:
            self.show(preview)
        ask_before(f"retry {self.run['name']} from {', '.join(self.wanted)}", yes=yes)
        call = retry_flow_run(
            self.run["id"], from_tasks=self.wanted, id=uuid7(), new_run=self.new_run, process=self._process()
        )
        answer = self.session.api.ask(call)
        if answer["retry"] is None:
            raise refused(self.run, "retried", self.run["state_name"], answer["details"].get("reason") or "")
        made: Json = self.session.api.ask(FLOW_RUNS.read(UUID(answer["retry"]["flow_run_id"])))
        if self.flow is not None:
            return rerun_here(self.session, self.flow, made, watch=watch)
        if watch:
            return watch_run(self.session, made, with_logs=True)
        waits = f"{made['name']}, which continues {self.run['name']}," if self.new_run else made["name"]
        sentence = f"{waits} waits for an agent; follow it with orion fr watch {made['name']}"
        self.session.report(sentence, answer["retry"], name="flow_run_id")
        return ExitCode.DONE

    def _process(self) -> str | None:
        if self.flow is None and self.run.get("deployment_id"):
            return None
        from orionflow.processes import own_identity

        return own_identity() or "unknown"


def lines_of(preview: Json) -> list[str]:
    """Return the preview as sentences."""
    again = f"{counted(preview['again'], 'call')} run{'s' if preview['again'] == 1 else ''} again"
    took = preview["work_seconds"]
    price = ""
    if took:
        price = f"; they took {duration(preview['elapsed_seconds'])} last time"
        price += f", {duration(took)} of work" if took - preview["elapsed_seconds"] > 1 else ""
    lines = [f"{counted(preview['reused'], 'result')} reused, {again}{price}."]
    lines += [f"  {number}  {CAUSES.get(cause, cause)}" for cause, number in preview["causes"].items()]
    return [*lines, *preview["notes"], *(f"Refused: {one}" for one in preview["refusals"])]


def refuse_without_tasks(wanted: Sequence[str], *, new_run: bool, dry_run: bool) -> None:
    """Raise for options that are only valid with --from."""
    if not wanted and (new_run or dry_run):
        option = "--new-run" if new_run else "--dry-run"
        raise click.UsageError(f"{option} goes with --from TASK; --from @failed stands for all that did not complete.")


def refuse_nowhere(run: Json) -> CommandFailed:
    """Return the error for a run whose code is not known."""
    return CommandFailed(
        ExitCode.USAGE,
        f"Where is the code of {run['name']}?",
        "it was called by a program and belongs to no deployment, so the API does not know its code",
        f"orion flow-run retry {run['name']} --entrypoint path/to/file.py:flow",
    )
