"""`orion help`: topics that concern several commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import wrap

import click

from orionflow.cli.command import OrionCommand
from orionflow.cli.errors import MEANINGS, CommandFailed, ExitCode
from orionflow.cli.style import painted, state_label
from orionflow.cli.terminal import Terminal, current_terminal
from orionflow.contract.states import NAMES, StateName
from orionflow.schedules import KINDS
from orionflow.spelling import did_you_mean

FILTERS = """\
A query is a list of terms; a run must fit all of them. It stands with `ls` and with --query.

  state:failed             a type: {types}
  state:late               a name of a state
  state:failed,crashed     one of several; also state:unfinished, state:finished, state:bad
  flow:etl                 the flow's name; * stands for any characters: flow:etl-*
  name:brave-otter         the run's name
  otter                    a bare word: the name contains it
  tag:nightly              has the tag; several terms: has all of them
  since:-24h  until:today  by (expected) start: -90s, -15m, -2h, -7d, today, yesterday, 2026-11-21T09:00
  deployment:prod          the deployment's name
  id:0198f3…               the whole id
  is:top  is:subflow       called directly, or by another flow
  task:extract-0           has a task run with this name             (flow runs)
  queue:default  version:1 the work queue; the flow's version        (flow runs)
  problem:17c27199         the problem, by the first signs of its id (flow runs)
  run:brave-otter          the flow run                              (task runs)

Example: orion fr ls "state:failed flow:etl since:-24h\""""
ADDRESSING = """\
Wherever a command takes a RUN:

  0198f3c2-…               its id
  0198f3c2                 the beginning of its id, 4 characters or more, when only one run has it
  brave-otter              its name, when only one run has it
  @last                    the newest run
  @last-failed             the newest run that Failed or Crashed
  brave-otter/extract-0    a task run of a flow run                  (task runs)

When several runs fit, the command does nothing, lists them and exits with 5.
Example: orion fr why @last-failed"""

DEPLOY_FILES = """\
`orion deploy` reads orion.yaml (or another file, also JSON; prefect.yaml too). Paths are meant from the file's folder.

  name: shop                          the project; `--prune` needs it, and deletes only what it deployed
  deployments:
    - name: prod                      etl/prod, with the name of the flow
      entrypoint: flows.py:etl        or package.module:flow
      parameters: {limit: 5}
      tags: [nightly]
      work_queue: default             or work_pool: {name: …, work_queue_name: …, job_variables: {…}}
      schedules:
        - cron: "0 6 * * 1-5"         or interval: 900, rrule: FREQ=…, ics: plan.ics
          timezone: Europe/Berlin
          parameters: {limit: 1}      also active, ends, max_runs, max_active_runs, calendars, spread,
                                      misfire (all, latest, none), misfire_window
      OPTIONS
      pull:                           how agents fetch the code; without it they need this folder
        - orionflow.storage.git_clone: {repository: https://…, branch: main}
  pull: […]                           for all deployments that do not say

What is left out is emptied on the server, too. `--dry-run` shows the difference, field by field."""
SCHEDULES = """\
Wherever a schedule is written:

{kinds}
  --timezone Europe/Berlin  the zone in which the times are meant; UTC unless said
  --day-and                 cron: day of month and day of week must both fit; one is enough unless said
  --spread 10m              later by up to this, always by the same delay for one deployment

  --ends, --max-runs        when it ends
  --catchup all|latest|none what becomes of times that were missed; --catchup-window forgets older ones
  --exclude holidays        nothing during the events of this calendar (orion calendar)

A time of day that clocks skip is taken after the gap; one that comes twice is taken once. A schedule that repeats every
hour or more often also runs in an hour that comes twice.
`orion deployment schedule preview` shows what a schedule comes to."""


def _states(terminal: Terminal) -> str:
    rows = [(painted(state_label(one, one, terminal).ljust(14), one), _meaning(names)) for one, names in NAMES.items()]
    return (
        "A run is in one state at a time; each has a type, which the rules read, and a name for people.\n\n"
        + "\n".join(f"  {label}{text}" for label, text in rows)
    )


def _meaning(names: Mapping[str, StateName]) -> str:
    """Return the meaning of a type, and below it that of each further name that Orion gives to its states."""
    usual, *others = names.items()
    return "\n".join([usual[1].meaning, *(f"{'':16}{name}: {one.meaning}" for name, one in others)])


def _schedules(terminal: Terminal) -> str:
    return SCHEDULES.format(
        kinds="\n".join(
            f"  {f'--{name} {kind.option.example}':<25} {kind.option.explanation}" for name, kind in KINDS.items()
        )
    )


def _deploy_files(terminal: Terminal) -> str:
    from orionflow.cli.deploy.orion_yaml import plain_options

    others = sorted(name for name in plain_options() if f"  {name}:" not in DEPLOY_FILES)
    options = wrap(", ".join(others), 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return DEPLOY_FILES.replace("      OPTIONS", "\n".join(options))


TOPICS: dict[str, Callable[[Terminal], str]] = {
    "states": _states,
    "filters": lambda terminal: FILTERS.format(types=", ".join(one.lower() for one in NAMES)),
    "addressing": lambda terminal: ADDRESSING,
    "exit-codes": lambda terminal: "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items()),
    "schedules": _schedules,
    "deploy-files": _deploy_files,
}


@click.command(
    "help",
    cls=OrionCommand,
    examples=(("orion help states", ""), ("orion help filters", "the query language of lists"), ("orion help run", "")),
)
@click.argument("words", metavar="[TOPIC or COMMAND]...", nargs=-1)
@click.pass_context
def show_topic(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Explain a topic (such as states, filters or exit-codes) or show the help of a command."""
    terminal = current_terminal()
    if not words:
        terminal.out(f"Topics: {', '.join(TOPICS)}. And `orion COMMAND --help` for each command.")
    elif words[0] in TOPICS:
        terminal.out(TOPICS[words[0]](terminal))
    else:
        _show_command(ctx, words)


def _show_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    parent = ctx.parent
    command: click.Command | None = parent.command if parent else None
    for word in words:
        found = command.get_command(ctx, word) if isinstance(command, click.Group) else None
        if found is None or parent is None:
            fix = did_you_mean(words[0], TOPICS, f"topics are {', '.join(TOPICS)}", most=1, before="orion help ")
            raise CommandFailed(ExitCode.USAGE, f"There is no topic or command {' '.join(words)!r}.", fix=fix)
        command, parent = found, click.Context(found, info_name=word, parent=parent)
    assert command is not None
    assert parent is not None
    current_terminal().out(command.get_help(parent))
