"""`orion deployment inspect`."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json, backend
from orionflow.cli.command import OrionCommand
from orionflow.cli.deployment.columns import properties_of, queue_text, schedules_text, status_text
from orionflow.cli.deployment.finding import find_deployment, full_name
from orionflow.cli.flow_run.columns import list_columns
from orionflow.cli.flow_run.newest import newest_runs
from orionflow.cli.options import Output, output_options, time_options
from orionflow.cli.output import Column, as_text
from orionflow.cli.times import Clock


@click.command(
    cls=OrionCommand,
    examples=(("orion deployment inspect etl/prod", ""), ("orion dep inspect etl/prod -o json", "the API's object")),
)
@click.argument("name", metavar="DEPLOYMENT")
@output_options
@time_options
def inspect(name: str, output: Output, clock: Clock) -> None:
    """Show one deployment: what it runs, with what, where and when; and its newest runs."""
    api = backend()
    found = find_deployment(api, name)
    if not output.is_for_people:
        output.show_one(found)
        return
    whole = full_name(api, found)
    output.show_one(found, _fields(whole, clock))
    if not output.columns:
        output.terminal.out("\nruns:")
        flow = whole.partition("/")[0]
        its = {"flow_runs": {"deployment_id": {"any_": [found["id"]]}}}
        output.show_many(
            newest_runs(api, its, clock, 5), list_columns({found["flow_id"]: flow}, clock, output.terminal)
        )


def _fields(name: str, clock: Clock) -> list[Column]:
    return [
        Column("id", lambda one: one["id"]),
        Column("name", lambda one: name),
        Column("status", status_text),
        Column("description", lambda one: one["description"] or "-"),
        Column("version", lambda one: one["version"] or "-"),
        Column("schedules", lambda one: schedules_text(one["schedules"])),
        Column("queue", queue_text),
        Column("entrypoint", lambda one: one["entrypoint"] or "-"),
        Column("code", _code),
        Column("parameters", lambda one: _pairs(one["parameters"])),
        Column("takes", lambda one: _takes(one.get("parameter_openapi_schema") or {})),
        Column("overlap", _overlap),
        Column("tags", lambda one: as_text(one["tags"])),
        Column("job variables", lambda one: _pairs(one.get("job_variables") or one["infra_overrides"])),
        Column("updated", lambda one: clock.absolute(one["updated"])),
    ]


def _code(deployment: Json) -> str:
    steps = deployment.get("pull_steps") or []
    if not steps:
        return f"in {deployment['path'] or 'the folder of the agent'}"
    return "\n".join(f"{name} {as_text(arguments)}" for step in steps for name, arguments in step.items())


def _overlap(deployment: Json) -> str:
    limit = deployment.get("concurrency_limit")
    return f"{deployment.get('overlap') or 'allow'}{f', {limit} at once' if limit else ''}"


def _pairs(values: Json) -> str:
    return "\n".join(f"{name} = {as_text(value)}" for name, value in (values or {}).items()) or "-"


def _takes(schema: Json) -> str:
    """`day: string = 2026-01-01`, one below the other."""
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    lines = []
    for name, one in properties_of(schema).items():
        default = f" = {as_text(one['default'])}" if "default" in one else ""
        lines.append(f"{name}: {one.get('type', 'any')}{default}{' (required)' if name in required else ''}")
    return "\n".join(lines) or "-"
