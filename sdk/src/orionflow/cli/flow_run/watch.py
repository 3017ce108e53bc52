"""`orion flow-run watch`: another process's run, followed until it ends."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from orionflow.cli.addressing import find_flow_run
from orionflow.cli.backend import Backend, Json, backend
from orionflow.cli.boundary import CommandFailed
from orionflow.cli.command import OrionCommand
from orionflow.cli.exit_codes import TERMINAL_TYPES, ExitCode, exit_code_of_state
from orionflow.cli.flow_run.inspect import task_progress
from orionflow.cli.histories import history_lines
from orionflow.cli.log_lines import LogQuery, line_text, log_query, new_lines
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.status_line import StatusLine, progress_text
from orionflow.cli.times import Clock, read_moment, read_period

POLL_SECONDS = 0.5
# So many looks in a row without a new line, and a run that has ended has said its last.
QUIET_LOOKS = 2
# When something happened, and how that is told.
Told = tuple[datetime, str]
LAST = datetime.max.replace(tzinfo=UTC)


@click.command(
    cls=OrionCommand,
    examples=(
        ("orion flow-run watch @last", "states, log and progress until it ends"),
        ("orion fr watch brave-otter --no-logs", "states only"),
        ("orion fr watch @last --timeout 10m && echo done", "the exit code tells how it ended"),
    ),
)
@click.argument("run", metavar="RUN")
@click.option("--logs/--no-logs", "with_logs", default=True, show_default=True, help="Print its log lines too.")
@click.option("--timeout", metavar="TIME", help="Stop watching after this time (exit 9); the run goes on.")
@output_options
@time_options
def watch(run: str, with_logs: bool, timeout: str | None, output: Output, clock: Clock) -> int:
    """Follow a run until it ends; the exit code says how. Ctrl-C stops the watching, not the run."""
    api = backend()
    return follow(api, find_flow_run(api, run), output, clock, timeout, with_logs=with_logs)


def follow(
    api: Backend,
    run: Json,
    output: Output,
    clock: Clock,
    timeout: str | None,
    *,
    with_logs: bool,
    with_states: bool = True,
) -> int:
    """Wait for the end of a run, telling what is new about it; the exit code that fits its final state."""
    deadline = time.monotonic() + read_period(timeout).total_seconds() if timeout else None
    people = output.is_for_people
    watcher = Watcher(api, run, output, clock, with_logs=with_logs and people, with_states=with_states and people)
    try:
        state_type = watcher.until_the_end(deadline)
    except KeyboardInterrupt:
        output.terminal.note(f"\n{run['name']} goes on. To cancel it: orion flow-run cancel {run['name']}")
        return ExitCode.INTERRUPTED
    if not people:
        output.show_one(api.get(f"/flow_runs/{run['id']}"))
    return exit_code_of_state(state_type)


def in_order(states: list[Told], lines: list[Told]) -> list[str]:
    """States and log lines as they came to be; the final state is told last, as its line is written after it."""
    return [text for _, text in sorted([*states, *lines], key=lambda one: one[0])]


def _moment(record: Json) -> datetime:
    return LAST if record.get("type") in TERMINAL_TYPES else read_moment(record["timestamp"]) or LAST


class Watcher:
    """Shows what is new about one run since the last look."""

    def __init__(
        self, api: Backend, run: Json, output: Output, clock: Clock, *, with_logs: bool, with_states: bool = True
    ) -> None:
        self.with_states = with_states
        self.api, self.run, self.output, self.clock = api, run, output, clock
        self.states_seen = 0
        self.began = time.monotonic()
        self.status = StatusLine(output.terminal)
        filters = {"flow_run_id": {"any_": [run["id"]]}}
        query = log_query(filters=filters, level=None, since=None, grep=None, clock=clock)
        self.query: LogQuery | None = query if with_logs else None

    def until_the_end(self, deadline: float | None) -> str:
        """Look twice a second; the type of the final state."""
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
        answer = self.api.get(f"/flow_runs/{self.run['id']}/why")
        state = answer["state"] or {}
        has_just_ended = self.states_seen and state.get("type") in TERMINAL_TYPES
        lines = self._last_lines() if has_just_ended else self._fresh_lines()
        for text in in_order(self._fresh_states(answer["history"]), lines):
            self.status.clear()
            self.output.terminal.out(text)
        if self.status.is_shown:
            self._show_progress(state)
        return str(state.get("type") or "")

    def _fresh_lines(self) -> list[Told]:
        lines = new_lines(self.api, self.query) if self.query else ()
        return [(_moment(line), line_text(line, self.clock, self.output.terminal)) for line in lines]

    def _last_lines(self) -> list[Told]:
        """What a run still writes after its final state; it may be on its way when the state is seen."""
        lines, quiet = self._fresh_lines(), 0
        while self.query and quiet < QUIET_LOOKS:
            time.sleep(POLL_SECONDS)
            fresh = self._fresh_lines()
            lines += fresh
            quiet = 0 if fresh else quiet + 1
        return lines

    def _fresh_states(self, history: list[Json]) -> list[Told]:
        fresh = history[self.states_seen :]
        self.states_seen = len(history)
        texts = history_lines(fresh, self.clock, self.output.terminal, with_rules=False)
        told = [(_moment(state), text.strip()) for state, text in zip(fresh, texts, strict=True)]
        return told if self.with_states else []

    def _show_progress(self, state: Json) -> None:
        finished, known = task_progress(self.api, self.run["id"])
        seconds = time.monotonic() - self.began
        name = self.run["name"]
        self.status.show(progress_text(name, str(state.get("name")), finished, known, seconds))
