"""Deployments: how they are named and shown, and `orion deployment ls`, `inspect`, `pause`, `resume` and `delete`.

A deployment is identified by `flow/name`, by its name if only one has it, or by an id or the start of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from orionflow.calls.deployments import DEPLOYMENTS, adopt_deployment, read_deployment_by_name
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import ID, Col, Columns, absolute, ago
from orionflow.cli.errors import CommandFailed
from orionflow.cli.flow_run.show import pairs_text
from orionflow.cli.lookup import ambiguous, as_uuid, by_prefix, found_by, listed, missing
from orionflow.cli.output import Column, as_text
from orionflow.cli.parameters import properties_of
from orionflow.cli.resource import Options, Resource
from orionflow.cli.run_tables import flow_names, show_newest_runs
from orionflow.cli.schedules import schedules_text
from orionflow.cli.session import Session, sort_option

SORTS = {"name": "NAME_ASC", "newest": "CREATED_DESC", "updated": "UPDATED_DESC"}
# Deployments that are compared with the start of an id at most.
_MOST = 10_000


def find_deployment(session: Session, wanted: str) -> Json:
    """Find the one deployment that is meant; otherwise exit 5, with the candidates."""
    api = session.api

    def none_such() -> CommandFailed:
        return missing("deployment", wanted, full_names(api, listed(api, DEPLOYMENTS)).values())

    if "/" in wanted:
        return found_by(api, read_deployment_by_name(wanted), none_such)
    if whole := as_uuid(wanted):
        return found_by(api, DEPLOYMENTS.read(whole), none_such)
    found = list(api.pages(DEPLOYMENTS, {"deployments": {"name": {"any_": [wanted]}}}, 20))
    found = found or by_prefix(api.pages(DEPLOYMENTS, {}, _MOST), wanted)
    if not found:
        raise none_such()
    if len(found) > 1:
        names = full_names(api, found)
        raise ambiguous("deployment", wanted, [f"{one['id']}  {names[one['id']]}" for one in found], "write flow/name")
    return found[0]


def full_names(api: Backend, deployments: Sequence[Json]) -> dict[str, str]:
    """Fetch `flow/name` by the deployments' ids."""
    flows = flow_names(api, deployments)
    return {one["id"]: f"{flows.get(one['flow_id'], '?')}/{one['name']}" for one in deployments}


def full_name(api: Backend, deployment: Json) -> str:
    return full_names(api, [deployment])[deployment["id"]]


def _columns(session: Session, deployments: Sequence[Json]) -> Columns:
    names = full_names(session.api, deployments) if session.shows_columns else {}
    return [
        Column("DEPLOYMENT", lambda one: names.get(one["id"]) or str(one["name"]), field="name"),
        Col("STATUS", "status", row=_status),
        Col("SCHEDULES", "schedules", row=lambda one: schedules_text(one["schedules"])),
        Col("QUEUE", "work_queue_name", row=_queue),
        Col("TAGS", "tags"),
        ID,
        Col("VERSION", "version", wide=True),
        Col("ENTRYPOINT", "entrypoint", wide=True),
        Col("UPDATED", "updated", ago, wide=True),
    ]


def _status(deployment: Json) -> str:
    if deployment["paused"]:
        return "paused"
    return "ready" if deployment.get("status") == "READY" else "no agent"


def _queue(deployment: Json) -> str:
    pool, queue = deployment.get("work_pool_name"), deployment.get("work_queue_name")
    if queue and not pool:
        return f"{queue} (deleted)"
    return "/".join(filter(None, (pool, queue))) or "-"


def _fields(session: Session, found: Json) -> Columns:
    name = full_name(session.api, found)
    return [
        Col("id", "id"),
        Col("name", row=lambda one: name),
        Col("status", row=_status),
        Col("description", "description"),
        Col("version", "version"),
        Col("schedules", row=lambda one: schedules_text(one["schedules"])),
        Col("queue", row=_queue),
        Col("entrypoint", "entrypoint"),
        Col("code", row=_code),
        Col("parameters", row=lambda one: pairs_text(one["parameters"])),
        Col("takes", row=_takes),
        Col("overlap", row=_overlap),
        *_own_fields(),
        Col("tags", "tags"),
        Col("job variables", row=lambda one: pairs_text(one.get("job_variables") or one["infra_overrides"])),
        Col("updated", "updated", absolute),
    ]


def _own_fields() -> Columns:
    """Return columns for Orion's own fields, which the API omits if they have their defaults."""
    from orionflow.contract.deployments import Deployment
    from orionflow.contract.wire import own_fields

    own = own_fields(Deployment) - {"overlap", "concurrency_limit"}
    return [_own_field(name) for name in Deployment.model_fields if name in own]


def _own_field(name: str) -> Column:
    seconds = " s" if name.endswith("_within") else ""
    return Column(
        name.replace("_", " "), lambda one: "-" if one.get(name) is None else f"{as_text(one[name])}{seconds}"
    )


def _code(deployment: Json) -> str:
    steps = deployment.get("pull_steps") or []
    if not steps:
        return f"in {deployment['path'] or 'the folder of the agent'}"
    return "\n".join(f"{name} {as_text(arguments)}" for step in steps for name, arguments in step.items())


def _overlap(deployment: Json) -> str:
    limit = deployment.get("concurrency_limit")
    return f"{deployment.get('overlap') or 'allow'}{f', {limit} at once' if limit else ''}"


def _takes(deployment: Json) -> str:
    """Return lines such as `day: string = 2026-01-01`; a last line says whether other parameters are accepted."""
    schema = deployment.get("parameter_openapi_schema") or {}
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    lines = []
    for name, one in properties_of(schema).items():
        default = f" = {as_text(one['default'])}" if "default" in one else ""
        lines.append(f"{name}: {one.get('type', 'any')}{default}{' (required)' if name in required else ''}")
    if lines and not deployment.get("enforce_parameter_schema"):
        lines.append("(not enforced)")
    return "\n".join(lines) or "-"


def _listed(session: Session, options: Options, limit: int) -> Iterable[Json]:
    own: Json = {}
    if options["tags"]:
        own["tags"] = {"all_": list(options["tags"])}
    if options["queues"]:
        own["work_queue_name"] = {"any_": list(options["queues"])}
    if options["paused"] is not None:
        own["paused"] = {"eq_": options["paused"]}
    body = {"deployments": own} if own else {}
    if options["flow"]:
        body["flows"] = {"name": {"any_": [options["flow"]]}}
    return session.api.pages(DEPLOYMENTS, {**body, "sort": SORTS[options["sort"]]}, limit)


DEPLOYMENT = Resource(
    "deployment", DEPLOYMENTS, _columns, metavar="DEPLOYMENT", find=find_deployment,
    titles=lambda session, found: full_names(session.api, found),
)  # fmt: skip
ls = DEPLOYMENT.ls(
    "List deployments with their schedules, and whether an agent serves them.",
    ("orion deployment ls", "all of them"),
    "orion dep ls --flow etl --tag nightly",
    ("orion dep ls --paused -o json", "the API's objects"),
    empty="No deployments; make one with flow.deploy(…), orion deploy or orion deployment build.",
    limit=100,
    params=[
        click.Option(["--flow"], metavar="FLOW", help="Only those of this flow."),
        click.Option(["--tag", "tags"], metavar="TAG", multiple=True, help="Only those with this tag."),
        click.Option(["--queue", "queues"], metavar="QUEUE", multiple=True, help="Only those of this work queue."),
        click.Option(["--paused/--active"], default=None, help="Only those that are paused, or that are not."),
    ],
    more_params=[sort_option(list(SORTS))],
    rows=_listed,
)
inspect = DEPLOYMENT.inspect(
    "Show one deployment: what it runs, with what, where and when; and its newest runs.",
    "orion deployment inspect etl/prod",
    ("orion dep inspect etl/prod -o json", "the API's object"),
    fields=_fields,
    below=lambda session, one: show_newest_runs(session, {"flow_runs": {"deployment_id": {"any_": [one["id"]]}}}),
    plain=True,
)
pause = DEPLOYMENT.change(
    "Pause deployments: plan no further runs. Runs on request still start.",
    ("orion deployment pause etl/prod", "its planned runs are deleted, others stay"),
    changes={"paused": True},
    done="is paused",
    many=True,
)
resume = DEPLOYMENT.change(
    "Plan runs of deployments again, by their active schedules.",
    "orion deployment resume etl/prod",
    changes={"paused": False},
    done="is active again",
    many=True,
)
adopt = DEPLOYMENT.change(
    "Become the author of deployments: their runs then have your rights. Their code stays.",
    ("orion deployment adopt etl/prod", "its author has left, so that its schedules are held"),
    call=adopt_deployment,
    done="is yours to answer for",
    many=True,
)
delete = DEPLOYMENT.delete(
    "Delete deployments with their schedules. Runs that have started stay.",
    ("orion deployment delete etl/prod --dry-run", "only say what would be deleted"),
    "orion dep delete etl/prod etl/test --yes",
    many=True,
    dry_run_shows=True,
)
