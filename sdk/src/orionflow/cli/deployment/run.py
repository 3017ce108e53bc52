"""`orion deployment run`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from orionflow.calls import Call
from orionflow.calls.deployments import create_flow_run_from_deployment
from orionflow.cli.backend import Json
from orionflow.cli.deployment.resource import find_deployment, full_name
from orionflow.cli.errors import ExitCode
from orionflow.cli.parameters import PARAMETERS, properties_of, read_pairs, read_whole, text_fields
from orionflow.cli.session import Session, command, with_params
from orionflow.cli.times import Clock
from orionflow.cli.work_queue import serving_command
from orionflow.spelling import did_you_mean


@command(
    ("orion deployment run etl/prod", "now"),
    ("orion dep run etl/prod -p day=2026-01-01 -p limit=5", "with parameters"),
    ("orion dep run etl/prod --in 2h --name tonight", "later"),
    ("orion dep run etl/prod --idempotency-key order-17", "one run, however often it is asked for"),
    ("orion dep run etl/prod --watch", "follow it to its end; the exit code says how it ended"),
    times=True,
)
@click.argument("name", metavar="DEPLOYMENT")
@with_params(*PARAMETERS)
@click.option("--at", metavar="TIME", help="Start at this time, such as 2026-11-21T09:00.")
@click.option("--in", "--start-in", "later", metavar="PERIOD", help="Start after this time, such as 90s or 2h30m.")
@click.option("--name", "run_name", metavar="NAME", help="Name the run; otherwise it gets a random name.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Tag the run.")
@click.option("--queue", metavar="QUEUE", help="Another work queue than the deployment's.")
@click.option("--job-variable", "variables", metavar="NAME=VALUE", multiple=True, help="One job variable of this run.")
@click.option("--idempotency-key", "key", metavar="KEY", help="Return the existing run with this key, if there is one.")
@click.option("--watch", is_flag=True, help="Follow the run, with its log, until it ends.")
@click.option("--wait", is_flag=True, help="Wait until the run ends, without printing its log.")
@click.option("--timeout", metavar="PERIOD", help="Stop waiting after this time (exit 9); the run continues.")
def run(session: Session, name: str, watch: bool, wait: bool, timeout: str | None, **options: Any) -> int:
    """Start one run of a deployment. An agent that serves its queue executes it."""
    found = find_deployment(session, name)
    created = session.api.ask(_creation(found, session.clock, options))
    if watch or wait:
        _note_missing_agent(found, session)
        from orionflow.cli.flow_run.follow import watch_run

        return watch_run(session, created, timeout, with_logs=watch, with_states=watch)
    if session.for_people:
        when = _when(created, session.clock)
        session.announce(f"{created['name']} ({created['id']}) of {full_name(session.api, found)} {when}.")
        _note_missing_agent(found, session)
    else:
        session.show_one(created)
    return ExitCode.DONE


def _creation(deployment: Json, clock: Clock, options: dict[str, Any]) -> Call[Any]:
    moment = _moment(clock, options["at"], options["later"])
    return create_flow_run_from_deployment(
        deployment["id"],
        parameters=_parameters(deployment, options["pairs"], options["params"]),
        state={"type": "SCHEDULED", "state_details": {"scheduled_time": moment.isoformat()}},
        tags=options["tags"],
        name=options["run_name"],
        work_queue_name=options["queue"],
        job_variables=read_pairs(options["variables"], "--job-variable") or None,
        idempotency_key=options["key"],
    )


def _moment(clock: Clock, at: str | None, later: str | None) -> datetime:
    if at and later:
        raise click.UsageError("Say --at or --in, not both.")
    if later:
        return clock.after(later)
    return clock.moment(at) if at else clock.now


def _parameters(deployment: Json, pairs: tuple[str, ...], whole: str | None) -> Json:
    """Read the parameters, as text if the deployment's schema asks for text; refuse unknown names."""
    schema = deployment.get("parameter_openapi_schema") or {}
    properties = properties_of(schema)
    given = {**read_whole(whole), **read_pairs(pairs, "-p", texts=text_fields(schema))}
    for name in given:
        if properties and name not in properties and schema.get("additionalProperties") is False:
            hint = did_you_mean(name, properties, f"it takes {', '.join(properties)}.", most=1)
            raise click.UsageError(f"{deployment['name']} has no parameter {name!r}; {hint}")
    return given


def _when(run: Json, clock: Clock) -> str:
    if run["state_type"] != "SCHEDULED":
        return f"is {run['state_name']}"
    return f"is scheduled for {clock.near(run['expected_start_time'])}"


def _note_missing_agent(deployment: Json, session: Session) -> None:
    pool, queue = deployment.get("work_pool_name"), deployment.get("work_queue_name")
    if deployment.get("status") == "READY":
        return
    if pool is None or queue is None:
        session.note("It waits in no queue, so no agent takes it; deploy it again to give it one.")
    else:
        session.note(f"No agent has asked for runs of it lately; start one with {serving_command(pool, queue)}")
