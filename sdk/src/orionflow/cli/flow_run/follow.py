"""`orion flow-run logs` and `watch`: follow the run of another process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from orionflow.calls.flow_runs import FLOW_RUNS, explain_flow_run
from orionflow.calls.task_runs import TASK_RUNS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import TERMINAL_TYPES, CommandFailed, ExitCode, exit_code_of_state
from orionflow.cli.history import history_lines
from orionflow.cli.logs import (
    LEVELS,
    LogQuery,
    follow,
    line_text,
    log_query,
    new_lines,
    print_lines,
    printer,
    stored_lines,
)
from orionflow.cli.lookup import NEWEST, find_flow_run
from orionflow.cli.run_tables import task_progress
from orionflow.cli.session import Session, command
from orionflow.cli.status_line import StatusLine, progress_text
from orionflow.cli.times import read_moment, read_period

POLL_SECONDS = 0.5
# The number of checks in a row without a new line after which an ended run has written its last line.
QUIET_LOOKS = 2
# The time of an event, and its line.
Line = tuple[datetime, str]
LAST = datetime.max.replace(tzinfo=UTC)


@command(
    ("orion flow-run logs @last", "the whole log"),
    ("orion fr logs -f @last", "as it grows, until the run ends"),
    ("orion fr logs @last --level warning --tail 50", "the last 50 warnings and errors"),
    ("orion fr logs @last --task extract-0 --grep 'row [0-9]+'", "of one task run, with a pattern"),
    ("orion fr logs @last -o jsonl", "one object a line"),
    times=True,
)
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", "following", is_flag=True, help="Continue until the run ends.")
@click.option("--level", type=click.Choice(list(LEVELS)), help="Only this level and higher ones.")
@click.option("--task", metavar="NAME", help="Only lines of the task run with this name.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--since", metavar="TIME", help="Only lines since then, such as -10m.")
@click.option("--tail", metavar="N", type=click.IntRange(min=1), help="Only the last N lines.")
def logs(
    session: Session, run: str, following: bool, level: str | None, task: str | None, grep: str | None,
    since: str | None, tail: int | None,
) -> None:  # fmt: skip
    """Print the log of a run and of its task runs, oldest line first."""
    api = session.api
    found = find_flow_run(api, run)
    filters: Json = {"flow_run_id": {"any_": [found["id"]]}}
    if task:
        filters["task_run_id"] = {"any_": _task_run_ids(api, found, task)}
    query = log_query(filters=filters, level=level, since=since, grep=grep, clock=session.clock)
    if not following:
        print_lines(stored_lines(api, query, tail), session)
        return
    show = printer(session)
    for line in stored_lines(api, query, tail):
        show(line)
    follow(api, query, lambda: api.ask(FLOW_RUNS.read(found["id"]))["state_type"] in TERMINAL_TYPES, show)


def _task_run_ids(api: Backend, run: Json, name: str) -> list[str]:
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}, "task_runs": {"name": {"any_": [name]}}, "sort": NEWEST}
    found = [task_run["id"] for task_run in api.ask(TASK_RUNS.find(body))]
    if not found:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"{run['name']} has no task run {name!r}.", fix=f"orion task-run ls run:{run['name']}"
        )
    return found


@command(
    ("orion flow-run watch @last", "states, log and progress until it ends"),
    ("orion fr watch brave-otter --no-logs", "states only"),
    ("orion fr watch @last --timeout 10m && echo done", "the exit code says how it ended"),
    times=True,
)
@click.argument("run", metavar="RUN")
@click.option("--logs/--no-logs", "with_logs", default=True, show_default=True, help="Print its log lines too.")
@click.option("--timeout", metavar="TIME", help="Stop watching after this time (exit 9); the run continues.")
def watch(session: Session, run: str, with_logs: bool, timeout: str | None) -> int:
    """Follow a run until it ends; the exit code says how. Ctrl-C stops this command, not the run."""
    return watch_run(session, find_flow_run(session.api, run), timeout, with_logs=with_logs)


def watch_run(
    session: Session, run: Json, timeout: str | None = None, *, with_logs: bool, with_states: bool = True
) -> int:
    """Show changes of a run until it ends; return the exit code for its final state."""
    deadline = time.monotonic() + read_period(timeout).total_seconds() if timeout else None
    people = session.for_people
    watcher = Watcher(session, run, with_logs=with_logs and people, with_states=with_states and people)
    try:
        state_type = watcher.until_the_end(deadline)
    except KeyboardInterrupt:
        session.note(f"\n{run['name']} continues. To cancel it: orion flow-run cancel {run['name']}")
        return ExitCode.INTERRUPTED
    if not people:
        session.show_one(session.api.ask(FLOW_RUNS.read(run["id"])))
    return exit_code_of_state(state_type)


def _moment(record: Json) -> datetime:
    return read_moment(record["timestamp"]) or LAST


class Watcher:
    """Shows what is new about one run since the last check."""

    def __init__(self, session: Session, run: Json, *, with_logs: bool, with_states: bool) -> None:
        self.api, self.clock, self.terminal = session.api, session.clock, session.terminal
        self.run = run
        self.with_states = with_states
        self.states_seen = 0
        self.began = time.monotonic()
        self.status = StatusLine(session.terminal)
        filters = {"flow_run_id": {"any_": [run["id"]]}}
        query = log_query(filters=filters, level=None, since=None, grep=None, clock=session.clock)
        self.query: LogQuery | None = query if with_logs else None

    def until_the_end(self, deadline: float | None) -> str:
        """Check twice a second; return the type of the final state."""
        try:
            while True:
                state_type = self.look()
                if state_type in TERMINAL_TYPES:
                    return state_type
                if deadline is not None and time.monotonic() > deadline:
                    raise CommandFailed(
                        ExitCode.TIMED_OUT, f"{self.run['name']} is still active.", "--timeout has passed"
                    )
                time.sleep(POLL_SECONDS)
        finally:
            self.status.clear()

    def look(self) -> str:
        """Show new states and lines, ordered by time."""
        answer = self.api.ask(explain_flow_run(self.run["id"]))
        state = answer["state"] or {}
        has_just_ended = self.states_seen and state.get("type") in TERMINAL_TYPES
        lines = self._last_lines() if has_just_ended else self._fresh_lines()
        for _, text in sorted([*self._fresh_states(answer["history"]), *lines], key=lambda line: line[0]):
            self.status.clear()
            self.terminal.out(text)
        if self.status.is_shown:
            self._show_progress(state)
        return str(state.get("type") or "")

    def _fresh_lines(self) -> list[Line]:
        lines = new_lines(self.api, self.query) if self.query else ()
        return [(_moment(line), line_text(line, self.clock, self.terminal)) for line in lines]

    def _last_lines(self) -> list[Line]:
        """Return the remaining lines of a run after its final state, as they may arrive later than that."""
        lines, quiet = self._fresh_lines(), 0
        while self.query and quiet < QUIET_LOOKS:
            time.sleep(POLL_SECONDS)
            fresh = self._fresh_lines()
            lines += fresh
            quiet = 0 if fresh else quiet + 1
        return lines

    def _fresh_states(self, history: Sequence[Json]) -> list[Line]:
        fresh = history[self.states_seen :]
        self.states_seen = len(history)
        texts = [text.strip() for text in history_lines(fresh, self.clock, self.terminal, with_rules=False)]
        moments = [_moment(state) for state in fresh]
        if fresh and fresh[-1]["type"] in TERMINAL_TYPES:
            # Shown last, as log lines written before it may arrive later.
            moments[-1] = LAST
        return list(zip(moments, texts, strict=True)) if self.with_states else []

    def _show_progress(self, state: Json) -> None:
        finished, known = task_progress(self.api, self.run["id"])
        seconds = time.monotonic() - self.began
        self.status.show(progress_text(self.run["name"], str(state.get("name")), finished, known, seconds))
