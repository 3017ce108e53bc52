"""`orion replay`: run a recorded run again here with its recorded values, after a confirmation."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.backend import Json
from orionflow.cli.columns import Col
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.parameters import read_pairs
from orionflow.cli.safe_text import as_json, one_line
from orionflow.cli.session import YES, Session, ask_before, bare_session, command, with_params
from orionflow.cli.style import painted
from orionflow.cli.times import duration
from orionflow.contract.states import BAD

if TYPE_CHECKING:
    from orionflow.replay.capsule import Capsule
    from orionflow.replay.plan import Plan
    from orionflow.replay.running import Outcome


@command(
    ("orion replay @last-failed", "run it here: what finished takes its results, what failed runs"),
    ("orion replay bug.orion --debug", "stop in the failed task, at its first line"),
    ("orion replay bug.orion --task load-0 --until load-0", "only as far as that"),
    ("orion replay bug.orion --edit load", "change the code first, and see what that changes"),
    ("orion replay bug.orion --code capsule --offline --yes", "with the code in the file, without a network"),
)
@click.argument("what", metavar="RUN|FILE")
@click.option("--entrypoint", metavar="PLACE", help="Where the code is here: path/to/file.py:flow.")
@click.option(
    "--code", type=click.Choice(["local", "capsule"]), default="local", show_default=True,
    help="Which code runs: that of this folder, or that in the capsule.",
)  # fmt: skip
@click.option("--task", metavar="TASK", help="Run this task instead of the failed ones: transform, transform-3.")
@click.option(
    "-p",
    "--param",
    "pairs",
    metavar="NAME=VALUE",
    multiple=True,
    help="Call the flow with this value instead.",
)
@click.option("--until", metavar="TASK", help="Stop after this task.")
@click.option("--debug", is_flag=True, help="Stop under pdb at the first line of the task that runs.")
@click.option("--edit", metavar="TASK", help="Open the file of this task in $EDITOR first.")
@click.option("--offline", is_flag=True, help="Run the replay without network access.")
@click.option("--home", metavar="FOLDER", help="Keep the replay's home here, with its secrets and variables.")
@click.option("--retry", is_flag=True, help="If it completes, retry the run on its server, without asking.")
@with_params(YES)
def replay(
    session: Session, what: str, entrypoint: str | None, code: str, task: str | None, pairs: Sequence[str],
    until: str | None, debug: bool, edit: str | None, offline: bool, home: str | None, retry: bool, yes: bool,
) -> int:  # fmt: skip
    """Run a recorded run again here, with its recorded values. Nothing is recorded on its server.

    Finished tasks take their results from the capsule, and the failed one runs. You are asked before any code runs. At
    the end, the differences are printed."""
    from orionflow.replay.capsule import read_capsule
    from orionflow.replay.plan import find_task, make_plan
    from orionflow.replay.running import own_copy, run_plan, workspace

    with workspace() as folder:
        run = None if Path(what).is_file() else find_flow_run(session.api, what)
        file = own_copy(Path(what), folder) if run is None else _pulled(session, run, folder, entrypoint)
        capsule = read_capsule(file)
        plan = make_plan(
            capsule,
            entrypoint=entrypoint,
            code=code,
            task=task,
            until=until,
            debug=debug,
            offline=offline,
            parameters=_given(capsule, pairs),
        )
        edited = find_task(plan.records, edit) if edit else None
        if edited is not None and plan.folder is None:
            raise CommandFailed(
                ExitCode.USAGE, "--edit changes the code of this folder, and --code capsule runs another.",
                fix="leave one of them out",
            )  # fmt: skip
        _show(session, what, capsule, plan)
        ask_before(f"run this code here{_and_read(plan)}", yes=yes)
        before = _edit(plan, edited.function) if edited is not None else None
        kept = Path(home).absolute() if home else None
        outcome = run_plan(plan, folder, kept, keeps_stdout=session.for_people)
        _report(session, plan, outcome)
        if before is not None:
            _show_changes(session, *before)
        return _after(session, run, plan, outcome, is_wanted=retry)


def _given(capsule: Capsule, pairs: Sequence[str]) -> Json:
    """Return the parameters given here; those that were texts in the recorded run stay texts."""
    from orionflow.replay.records import read_records

    then = read_records(capsule).root.run.parameters
    return read_pairs(pairs, "-p", texts=frozenset(name for name, value in then.items() if isinstance(value, str)))


def _pulled(session: Session, run: Json, folder: Path, entrypoint: str | None) -> Path:
    from orionflow.replay.capsule import write_private
    from orionflow.replay.pulling import Wanted, pull

    file = folder / "capsule"
    write_private(file, lambda opened: pull(session.api, run, opened, Wanted(entrypoint, code=False)))
    return file


def _show(session: Session, what: str, capsule: Capsule, plan: Plan) -> None:
    """Show what the capsule is and what would run; all of this is untrusted text, on one line each."""
    manifest, run = capsule.manifest, plan.records.root.run
    described = manifest.get("code")
    code: Json = described if isinstance(described, dict) else {}
    lines = [
        ("run", f"{run.name} of {plan.records.flow}, {run.state.name if run.state else 'without a state'}"),
        ("ended", run.message or "-"),
        ("made", f"{manifest.get('made_at')} by {manifest.get('made_by') or 'nobody named'}"
                 f"{' on ' + str(manifest['server']) if manifest.get('server') else ''}, "
                 f"Orion {manifest.get('orion')}"),
        ("code", f"{plan.entrypoint} in {plan.folder or 'the capsule'}{', ' if plan.sameness else ''}{plan.sameness}"
                 f"{', commit ' + str(code['commit'])[:10] if not plan.folder and code.get('commit') else ''}"),
        ("with", _parameters(plan.parameters)),
        ("runs", plan.unreached or _names([one.name for one in plan.chosen]) or "only tasks that have no result"),
        ("recorded", f"{plan.recorded} results are taken as they were"),
    ]  # fmt: skip
    if plan.without_result:
        lines.append(("runs too", f"{_names(plan.without_result)}: their results are not in the capsule"))
    if plan.changed_inputs:
        why = "they changed their arguments, which their results do not repeat"
        lines.append(("runs too", f"{_names(plan.changed_inputs)}: {why}"))
    until = plan.until if isinstance(plan.until, str | None) else plan.until.name
    lines.append(("and", "tasks that the run had not reached or not ended" + (f", until {until}" if until else "")))
    if plan.pickles:
        ours = (
            f"this installation sealed {plan.sealed_here} of them"
            if plan.sealed_here
            else "none is sealed by this installation"
        )
        lines.append(("pickles", f"{len(plan.pickles)} results; reading one runs what its writer put there; {ours}"))
    if plan.folder is None:
        lines.append(("files", _names([name.removeprefix("code/") for name in capsule.code_names])))
    for title, text in lines:
        session.note(f"  {title:<9} {one_line(text)[:300]}")
    for warning in plan.warnings:
        session.note(f"  warning   {one_line(warning)[:500]}")


def _parameters(parameters: Json) -> str:
    """Return the parameters in one line, with long values cut."""
    shown = [
        f"{name}={value if len(value := as_json(one)) <= 60 else value[:60] + '…'}" for name, one in parameters.items()
    ]
    return ", ".join(shown[:10]) + (" …" if len(shown) > 10 else "") or "no parameters"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


def _and_read(plan: Plan) -> str:
    return f" and read {len(plan.pickles)} pickles" if plan.pickles else ""


def _edit(plan: Plan, function: str) -> tuple[Path, str]:
    """Open the file of a task in the user's editor, at its line; return the file and its previous content."""
    from orionflow.replay.code_files import file_of_function, find_code

    assert plan.folder is not None
    code = find_code(plan.entrypoint, plan.folder, anywhere=True)
    found = file_of_function(code.file, function) if code else None
    if found is None:
        raise CommandFailed(ExitCode.NOT_FOUND, f"No file here defines a function {function!r}.")
    file, line = found
    before = file.read_text(encoding="utf-8", errors="replace")
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    at_line = [f"+{line}"] if Path(editor[0]).name in ("vi", "vim", "nvim", "nano", "emacs") else []
    try:
        ended = subprocess.run([*editor, *at_line, str(file)], check=False)
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"The editor {editor[0]!r} cannot be started: {error.strerror}.") from None
    if ended.returncode != 0:
        raise CommandFailed(ExitCode.FAILED, f"The editor ended with code {ended.returncode}, so nothing was run.")
    # Python would use its cached bytecode if the file was written within a second of it.
    Path(cache_from_source(str(file))).unlink(missing_ok=True)
    return file, before


def _show_changes(session: Session, file: Path, before: str) -> None:
    import difflib

    after = file.read_text(encoding="utf-8", errors="replace")
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{file.name} before", f"{file.name} now", lineterm="", n=1
    )
    text = "\n".join(lines)
    session.note(f"The change is in {file}:\n{text}" if text else f"{file} was not changed.")


def _report(session: Session, plan: Plan, outcome: Outcome) -> None:
    """Show the differences: the tasks that ran, and their outcomes then and now."""
    if not session.for_people:
        session.show_list(outcome.seen, _COLUMNS)
        return
    ran = [one for one in outcome.seen if one["now"] != "recorded" or one["then_state"] != one["now_state"]]
    session.show_list(ran, _COLUMNS, empty="No task ran.")
    if taken := len(outcome.seen) - len(ran):
        session.note(f"{taken} task runs took their recorded results.")
    state = plan.records.root.run.state
    then = f"(then: {state.name if state else 'without a state'})."
    if outcome.is_over:
        session.note(f"The replay went as far as it was asked to {then}")
        return
    words = "" if outcome.is_completed else one_line(outcome.error or outcome.message)[:300]
    ended = painted(outcome.name or "broken off", outcome.state)
    session.note(f"The replay is {ended}{': ' if words else ''}{words} {then}")


def _then(row: Json) -> str:
    return row["then_error"] or row["then_state"] or "-"


def _now(row: Json) -> str:
    match row["now"], row["same_value"]:
        case "not reached", _:
            return "not reached"
        case "recorded", _:
            return "the recorded result"
        case _, True:
            return "the same value"
        case _, False:
            return "another value"
    return row["now_error"] or row["now_state"] or "ran"


def _took(name: str) -> Any:
    return lambda row: "-" if row[name] is None else duration(row[name])


_COLUMNS = (
    Col("TASK", "name"),
    Col("THEN", "then_error", row=lambda row: one_line(_then(row))[:60]),
    Col("NOW", "now_error", row=lambda row: one_line(_now(row))[:60]),
    Col("TOOK THEN", "then_seconds", row=_took("then_seconds")),
    Col("TOOK NOW", "now_seconds", row=_took("now_seconds")),
    Col("FOUND BY", "matched_by", row=lambda row: row["matched_by"] or "-"),
    Col("NOTE", "note", row=lambda row: one_line(row["note"])[:80]),
)


def _after(session: Session, run: Json | None, plan: Plan, outcome: Outcome, *, is_wanted: bool) -> int:
    """Offer to retry the original run if its code works now; return the exit code of the replay."""
    if outcome.is_over:
        has_failed = any(one["now"] == "ran" and one["now_state"] == "Failed" for one in outcome.seen)
        return ExitCode.FAILED if has_failed else ExitCode.DONE
    if not outcome.is_completed:
        return ExitCode.FAILED
    then = plan.records.root.run
    if then.type not in BAD or plan.folder is None:
        return ExitCode.DONE
    entrypoint = None if plan.capsule.runs.get("deployment") else str(plan.folder / plan.entrypoint)
    # If no task failed, the flow's own code did, and there is no task to start from.
    at = [one.name for one in plan.chosen if one.type in BAD]
    if run is not None and (is_wanted or _is_agreed(session, then.name)):
        from orionflow.cli.flow_run.retry import retry_agreed

        # In words even with `-o json`, whose one document is the report of the replay.
        return retry_agreed(bare_session(), run["id"], entrypoint, at)
    where = f" --entrypoint {shlex.quote(entrypoint)}" if entrypoint else ""
    begin = "".join(f" --from {shlex.quote(one)}" for one in at) if len(at) < 4 else " --from @failed"
    session.note(f"  orion flow-run retry {shlex.quote(then.name)}{begin}{where}")
    if entrypoint is None:
        session.note("  Its agents run the code that is deployed: deploy the mended code first.")
    return ExitCode.DONE


def _is_agreed(session: Session, name: str) -> bool:
    if not (session.terminal.is_interactive and session.for_people):
        return False
    return click.confirm(f"It works now. Retry {one_line(name)} on its server?", err=True)
