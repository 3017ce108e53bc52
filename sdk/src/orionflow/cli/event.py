"""`orion event`: list events, follow them as they arrive, and report your own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from orionflow.calls.events import read_events, read_next_events, report_events
from orionflow.cli.backend import Backend, Json
from orionflow.cli.columns import ID, Col, Columns, ago
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.output import Column
from orionflow.cli.parameters import read_whole
from orionflow.cli.safe_text import as_json
from orionflow.cli.session import SPAN, Session, command, limit_option, span_of, with_params
from orionflow.cli.times import read_moment, read_period
from orionflow.contract.kinds import EVENTS_PER_PAGE

LABEL_ID, ROLE, NAME = "prefect.resource.id", "prefect.resource.role", "prefect.resource.name"
POLL_SECONDS = 1.0
# Events are stored shortly after they occurred, and not always in their order.
OVERLAP = timedelta(seconds=10)

event = LazyGroup(
    "event",
    __name__,
    help="Events: something changed about a resource. Automations react to them.",
    entries={
        "ls": "List events, newest first.",
        "stream": "Show events as they come, until Ctrl-C.",
        "emit": "Report an event.",
    },
    examples=(
        ("orion event ls --since -1h", "events of the last hour"),
        ("orion event emit shop.order.paid --resource order.17", "for automations of your own"),
    ),
)


filters = with_params(
    click.Option(
        ["--name", "names"], metavar="NAME", multiple=True, help="With this name; a * at the end matches any ending."
    ),
    click.Option(
        ["--resource", "resources"], metavar="ID", multiple=True, help="About this resource; may contain a *."
    ),
    click.Option(["--related"], metavar="ID", multiple=True, help="Also concerning this resource."),
)


@command(
    ("orion event ls", "the newest 20"),
    ("orion event ls --name 'prefect.flow-run.*' --since -24h", "what flow runs did"),
    ("orion event ls --resource 'order.*' -o json", "the API's objects"),
    times=True,
)
@filters
@with_params(*SPAN, limit_option(20))
def ls(session: Session, since: str | None, until: str | None, limit: int, **options: Any) -> None:
    """List events, newest first."""
    occurred = span_of(session, since, until)
    asked = {**_asked(options), **({"occurred": occurred} if occurred else {})}
    found = list(_pages(session.api, asked, limit))
    empty = "No events. Those of flow runs are recorded while an automation is enabled."
    session.show_list(found, _columns(session), empty=empty, name="id")


def _asked(options: dict[str, Any]) -> Json:
    asked: Json = {}
    if options["names"]:
        exact = [name for name in options["names"] if not name.endswith("*")]
        prefixes = [name[:-1] for name in options["names"] if name.endswith("*")]
        if exact and prefixes:
            raise click.UsageError("Names with a * and names without one cannot be asked for together.")
        asked["event"] = {"prefix": prefixes} if prefixes else {"name": exact}
    if options["resources"]:
        asked["resource"] = {"labels": {LABEL_ID: list(options["resources"])}}
    if options["related"]:
        asked["related"] = {"labels": {LABEL_ID: list(options["related"])}}
    return asked


def _pages(api: Backend, asked: Json, limit: int) -> Iterator[Json]:
    """Yield events page by page: each page has fifty, and the address of the next page."""
    if not limit:
        return
    answer = api.ask(read_events(asked, limit=min(EVENTS_PER_PAGE, limit)))
    while True:
        yield from answer["events"][:limit]
        limit -= len(answer["events"])
        if limit <= 0 or not answer["next_page"]:
            return
        answer = api.ask(read_next_events(answer["next_page"]))


def _columns(session: Session) -> Columns:
    return [
        Col("WHEN", "occurred", ago),
        Col("EVENT", "event"),
        Column("RESOURCE", lambda one: one["resource"].get(NAME) or one["resource"][LABEL_ID], field="resource"),
        Col("RELATED", "related", row=_related),
        Column("RESOURCE ID", lambda one: one["resource"][LABEL_ID], wide=True),
        Column("PAYLOAD", lambda one: as_json(one["payload"]) if one["payload"] else "-", field="payload", wide=True),
        ID,
    ]


def _related(one: Json) -> str:
    return ", ".join(f"{other.get(ROLE)} {other.get(NAME) or other.get(LABEL_ID)}" for other in one["related"]) or "-"


@command(
    ("orion event stream --timeout 1s", "for one second"),
    ("orion event stream --name 'prefect.flow-run.*' -o jsonl --timeout 1s", "one object a line"),
    times=True,
)
@filters
@click.option("--timeout", metavar="PERIOD", help="End after this time; otherwise with Ctrl-C.")
def stream(session: Session, timeout: str | None, **options: Any) -> None:
    """Show new events as they arrive. For earlier ones, use `orion event ls`."""
    asked = _asked(options)
    deadline = time.monotonic() + read_period(timeout).total_seconds() if timeout else None
    begin, seen = datetime.now(UTC), set[str]()
    while True:
        since = (begin - OVERLAP).isoformat()
        window = {**asked, "occurred": {"since": since}, "order": "ASC"}
        for one in list(_pages(session.api, window, 1_000)):
            arrived = read_moment(one["received"])
            if one["id"] not in seen and arrived is not None and arrived >= begin - timedelta(seconds=1):
                _show(session, one)
            seen.add(one["id"])
        if deadline is not None and time.monotonic() >= deadline:
            return
        time.sleep(POLL_SECONDS)


def _show(session: Session, one: Json) -> None:
    if session.for_people:
        resource = one["resource"].get(NAME) or one["resource"][LABEL_ID]
        session.terminal.out(f"{session.clock.clock_time(one['occurred'])}  {one['event']}  {resource}")
    else:
        session.terminal.out(as_json(one))


@command(
    ("orion event emit shop.order.paid --resource order.17", ""),
    ("orion event emit shop.order.paid --resource order.17 --label city=Berlin --related customer=ada", ""),
    ("""orion event emit sensor.read --resource sensor.1 --payload '{"celsius": 21}'""", "with what was measured"),
)
@click.argument("name", metavar="EVENT")
@click.option("--resource", required=True, metavar="ID", help="The resource that the event is about.")
@click.option("--label", "labels", metavar="NAME=VALUE", multiple=True, help="Another label of the resource.")
@click.option("--related", "related", metavar="ROLE=ID", multiple=True, help="Another resource, with its role.")
@click.option("--payload", metavar="JSON", help="The payload: a JSON object, or @FILE.")
def emit(
    session: Session, name: str, resource: str, labels: Sequence[str], related: Sequence[str], payload: str | None
) -> None:
    """Report EVENT about a resource. Names are written like shop.order.paid."""
    from orionflow.contract.ids import uuid7

    reported = {
        "id": str(uuid7()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": name,
        "resource": {LABEL_ID: resource, **dict(_pair(one, "--label") for one in labels)},
        "related": [{LABEL_ID: id, ROLE: role} for role, id in (_pair(one, "--related") for one in related)],
        "payload": read_whole(payload, "--payload"),
    }
    session.api.ask(report_events([reported]))
    session.report(f"Reported {name} of {resource}.", reported, name="id")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise click.UsageError(f"{option} {text!r} is not of the form NAME=VALUE.")
    return name, value
