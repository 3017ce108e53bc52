"""`orion pull`: a run with everything that a replay needs, in one file."""

from __future__ import annotations

import re
from pathlib import Path

import click

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lookup import find_flow_run
from orionflow.cli.safe_text import one_line
from orionflow.cli.session import Session, command

_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


@command(
    ("orion pull @last-failed", "the newest failed run, as brave-otter.orion"),
    ("orion pull brave-otter -f bug.orion --entrypoint flows.py:etl", "with the code of a flow that is not deployed"),
    ("orion pull brave-otter --no-results --no-code", "only what was recorded"),
    ("orion flow-run pull brave-otter --force", "over a file that is there"),
)
@click.argument("run", metavar="RUN")
@click.option("-f", "--file", "file", metavar="FILE", help="The file to write; otherwise the name of the run.")
@click.option(
    "--entrypoint", metavar="PLACE", help="Where the flow's code is: path/to/file.py:flow or package.module:flow."
)
@click.option("--max-size", "megabytes", metavar="MB", type=click.IntRange(1, 500), default=64, show_default=True,
              help="The maximum size of results.")  # fmt: skip
@click.option("--no-results", is_flag=True, help="Leave results out; their tasks run again in a replay.")
@click.option("--no-code", is_flag=True, help="Leave the files of the code out.")
@click.option("--no-logs", is_flag=True, help="Leave the log out.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def pull(
    session: Session, run: str, file: str | None, entrypoint: str | None, megabytes: int, no_results: bool,
    no_code: bool, no_logs: bool, force: bool,
) -> None:  # fmt: skip
    """Pack a flow run into one file: states, rules, log, results, code and package list.

    `orion replay FILE` runs it, here or elsewhere. Secrets that this profile knows are replaced by their names, and the
    environment is not in it. It contains only what you may see of the run.
    """
    from orionflow.replay.capsule import MEGABYTE, SUFFIX, write_private
    from orionflow.replay.pulling import Pulled, Wanted
    from orionflow.replay.pulling import pull as pull_run

    found = find_flow_run(session.api, run)
    target = Path(file) if file else Path(f"{_PLAIN.sub('-', found['name']).strip('.-')[:80] or found['id']}{SUFFIX}")
    if target.exists() and not force:
        raise CommandFailed(ExitCode.CONFLICT, f"{target} is there already.", fix="name another --file, or add --force")
    wanted = Wanted(
        entrypoint, results=not no_results, code=not no_code, logs=not no_logs, most_bytes=megabytes * MEGABYTE
    )
    made: list[Pulled] = []
    try:
        write_private(target, lambda opened: made.append(pull_run(session.api, found, opened, wanted)))
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{target} cannot be written: {error.strerror or error}.") from None
    _show_made(session, found["name"], target, made[0])
    if not session.for_people:
        session.show_one({"file": str(target), "size": target.stat().st_size, "flow_run_id": found["id"]}, name="file")


def _show_made(session: Session, name: str, target: Path, made: object) -> None:
    from orionflow.replay.pulling import Pulled

    assert isinstance(made, Pulled)
    size = target.stat().st_size
    shown = f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1000:.1f} kB"
    session.note(f"{name} is in {target} ({shown}): {made.task_runs} task runs, {made.results} results.")
    if made.missing:
        session.note(f"  {made.missing} results are not in it; the replay says why, and runs their tasks again.")
    if made.code is None:
        session.note(
            "  Its code is not in it: no --entrypoint was given, and no deployment names a file of this folder."
        )
    elif made.code.left_out:
        left = made.code.left_out
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        session.note(f"  Left out of the code: {'; '.join(map(one_line, left[:3]))}{more}.")
    if made.secrets:
        session.note(f"  Secrets replaced by their names: {', '.join(map(one_line, sorted(made.secrets)))}.")
    session.note(f"  orion replay {target}")
