"""`orion deployment backfill`: runs of a deployment for past times, created a few at a time."""

from __future__ import annotations

from typing import Any

import click

from orionflow.calls.backfills import BACKFILLS, cancel_backfill, pause_backfill, preview_backfill, resume_backfill
from orionflow.calls.schedules import read_schedules
from orionflow.cli.backend import Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago
from orionflow.cli.deployment.resource import find_deployment
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.lookup import find_named
from orionflow.cli.output import as_text
from orionflow.cli.parameters import PARAMETERS, read_pairs, read_whole, text_fields
from orionflow.cli.resource import Options, Resource
from orionflow.cli.schedules import ANY_OPTION, SCHEDULE_PARAMS, definition_text, read_schedule
from orionflow.cli.session import Session, command, with_params
from orionflow.cli.style import counted
from orionflow.contract.states import BAD
from orionflow.schedules import KINDS

backfill = LazyGroup(
    "backfill",
    __name__,
    help="Runs of a deployment for times that have passed, made a few at a time. A BACKFILL is its name or its id.",
    entries={
        "Look": {
            "ls": "List backfills.",
            "inspect": "Show the progress of a backfill.",
        },
        "Act": {
            "create": "Run a deployment for each time of a past period.",
            "pause": "Pause a backfill.",
            "resume": "Resume a backfill.",
            "cancel": "Cancel a backfill and its open runs.",
        },
    },
    examples=(
        ("orion deployment backfill create etl/prod --from 2026-01-01 --to 2026-01-31 --dry-run", "what would be run?"),
        ("orion dep backfill ls", ""),
    ),
)


def _progress(one: Json) -> str:
    failed = sum(one["states"].get(state, 0) for state in BAD)
    ended = f"{one['ended']} of {one['total']}"
    return f"{ended}, {failed} failed" if failed else ended


_COLUMNS: Columns = (
    Col("BACKFILL", "name"), Col("STATUS", "status"), Col("ENDED", "ended", row=_progress),
    Col("FROM", "start", absolute), Col("TO", "end", absolute), Col("CREATED", "created", ago), ID,
)  # fmt: skip
BACKFILL = Resource(
    "backfill", BACKFILLS, _COLUMNS, metavar="BACKFILL", changed_as_list=False,
    find=lambda session, wanted: find_named(
        session.api, BACKFILLS, "backfill", wanted, command="orion deployment backfill ls"
    ),
)  # fmt: skip


def _narrow(session: Session, options: Options) -> Json:
    wanted = options["deployment"]
    return {"backfills": {"deployment_id": {"any_": [find_deployment(session, wanted)["id"]]}}} if wanted else {}


ls = BACKFILL.ls(
    "List backfills, the newest first.",
    "orion deployment backfill ls",
    ("orion dep backfill ls --deployment etl/prod", "those of one deployment"),
    empty="No backfills; make one with orion deployment backfill create.",
    params=[click.Option(["--deployment"], metavar="DEPLOYMENT", help="Those of this deployment.")],
    narrow=_narrow,
)


def _fields(session: Session, one: Json) -> Columns:
    states = ", ".join(f"{number} {state.lower()}" for state, number in sorted(one["states"].items()))
    return [
        Col("name", "name"), Col("status", "status"), Col("problem", "problem"),
        Col("runs", "states", row=lambda _: states or "none yet"), Col("ended", "ended", row=_progress),
        Col("from", "start", absolute), Col("to", "end", absolute),
        Col("schedule", "schedule", row=lambda _: definition_text(one["schedule"])),
        Col("at once", "at_once"), Col("parameters", "parameters", row=lambda _: as_text(one["parameters"] or None)),
        Col("time parameter", "time_parameter"), Col("tag", "tag"), Col("id", "id"),
    ]  # fmt: skip


inspect = BACKFILL.inspect(
    "Show the progress of a backfill.",
    "orion deployment backfill inspect january",
    fields=_fields,
    below=lambda session, one: session.note(f"Its runs: orion flow-run ls --tag {one['tag']}"),
    plain=True,
)
pause = BACKFILL.change(
    "Pause a backfill. The runs that it has made are left alone.",
    "orion deployment backfill pause january",
    call=pause_backfill, done="is paused",
)  # fmt: skip
resume = BACKFILL.change(
    "Resume a backfill.", "orion deployment backfill resume january", call=resume_backfill, done="continues"
)
cancel = BACKFILL.change(
    "Cancel a backfill, and its runs that have not ended.",
    "orion deployment backfill cancel january --yes",
    call=cancel_backfill, done="is cancelled", sure="cancel the backfill {} and its open runs",
)  # fmt: skip

# Options of schedules that backfills do not have: a backfill has its own period, and misses nothing.
LEFT_OPEN = dict.fromkeys(("ends", "max_runs", "catchup", "catchup_window"))


@command(
    ("orion deployment backfill create etl/prod --from 2026-01-01 --to 2026-01-31 --dry-run", "what would be run?"),
    ('orion dep backfill create etl/prod --from 2026-01-01 --to 2026-01-31 --cron "0 6 * * *" --name january', ""),
    (
        "orion dep backfill create etl/prod --from -7d --to now --interval 1d --at-once 4 --newest-first",
        "the last week",
    ),
    times=True,
)
@click.argument("name", metavar="DEPLOYMENT")
@click.option("--from", "start", metavar="TIME", required=True, help="The first time, such as 2026-01-01 or -30d.")
@click.option(
    "--to", "end", metavar="TIME", required=True, help="The last time; a date is the midnight that begins it."
)
@click.option("--name", "own_name", metavar="NAME", help="Name the backfill; otherwise it gets a random name.")
@click.option("--schedule", "number", metavar="N", type=click.IntRange(min=1), help="The times of its schedule N.")
@with_params(*(one for one in SCHEDULE_PARAMS if one.name not in LEFT_OPEN))
@click.option("--time-param", metavar="PARAM", help="The parameter that receives the time of each run.")
@with_params(*PARAMETERS)
@click.option("--at-once", type=click.IntRange(1, 100), default=1, show_default=True, help="How many runs at once.")
@click.option("--newest-first", is_flag=True, help="Start with the last time.")
@click.option("--again", is_flag=True, help="Also run the times that have a completed run.")
@click.option("--queue", metavar="QUEUE", help="Another work queue than the deployment's.")
@click.option("--dry-run", is_flag=True, help="Only show what would be run.")
def create(session: Session, name: str, own_name: str | None, dry_run: bool, **options: Any) -> None:
    """Run a deployment for each time of a past period.

    The times are those of its only schedule, of the one that --schedule numbers, or of the one in other options. The
    next run is made when one has ended and no other run waits for an agent of the queue."""
    deployment = find_deployment(session, name)
    body = _request(session, deployment, options)
    if dry_run:
        _show_plan(session, session.api.ask(preview_backfill(body)))
        return
    made = session.api.ask(BACKFILLS.create({**body, **({"name": own_name} if own_name else {})}))
    if session.for_people:
        session.announce(f"{made['name']}: {counted(made['total'], 'run')}, {made['at_once']} at once.")
        session.note(f"How far it has come: orion deployment backfill inspect {made['name']}")
    else:
        session.show_one(made, name="name")


def _request(session: Session, deployment: Json, options: dict[str, Any]) -> Json:
    texts = text_fields(deployment.get("parameter_openapi_schema") or {})
    schedule = None
    if any(options[kind] for kind in KINDS):
        schedule = read_schedule({**options, **LEFT_OPEN}, session.clock)
    elif options["number"] is None and options["timezone"]:
        raise click.UsageError(f"--timezone belongs to a schedule; say one with {ANY_OPTION}.")
    if schedule is not None and options["number"] is not None:
        raise click.UsageError("Say --schedule or another schedule, not both.")
    body: Json = {
        "deployment_id": deployment["id"],
        "start": session.clock.wall_or_moment(options["start"]).isoformat(),
        "end": session.clock.wall_or_moment(options["end"]).isoformat(),
        "parameters": {**read_whole(options["params"]), **read_pairs(options["pairs"], "-p", texts=texts)},
        "newest_first": options["newest_first"],
        "at_once": options["at_once"],
        "again": options["again"],
    }
    if schedule is not None:
        body["schedule"] = schedule["schedule"]
    elif options["number"] is not None:
        body["schedule_id"] = _numbered(session, deployment, options["number"])
    if options["exclude"]:
        body["calendars"] = list(options["exclude"])
    if options["time_param"]:
        body["time_parameter"] = options["time_param"]
    if options["queue"]:
        body["work_queue_name"] = options["queue"]
    return body


def _numbered(session: Session, deployment: Json, number: int) -> str:
    """Return the id of a schedule by its number in `orion deployment schedule ls`."""
    every = sorted(session.api.ask(read_schedules(deployment["id"])), key=lambda one: (one["created"], one["id"]))
    if number > len(every):
        raise click.UsageError(
            f"{deployment['name']} has {counted(len(every), 'schedule')}; there is no number {number}."
        )
    return str(every[number - 1]["id"])


def _show_plan(session: Session, plan: Json) -> None:
    if not session.for_people:
        session.show_one(plan)
        return
    session.announce(f"{counted(plan['runs'], 'run')}, in this order:" if plan["runs"] else "No runs.")
    times = plan["times"]
    for one in times if len(times) <= 10 else [*times[:9], times[-1]]:
        session.announce(f"  {one['local']}")
    if len(times) > 10:
        session.note(f"Only the first nine and the last of {counted(len(times), 'time')} are shown.")
    if plan["first_parameters"]:
        session.announce(f"The first with {as_text(plan['first_parameters'])}.")
    if plan["completed"]:
        session.note(f"{counted(plan['completed'], 'time')} with a completed run left out; --again runs them too.")
    if plan["left_out"]:
        session.note(f"{counted(plan['left_out'], 'time')} left out by calendars.")
