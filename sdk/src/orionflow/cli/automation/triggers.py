"""Triggers created from options: a state that runs enter, one in which they stay too long, or an event."""

from __future__ import annotations

import click

from orionflow.cli.backend import Json
from orionflow.cli.deployment.resource import find_deployment
from orionflow.cli.lookup import find_flow
from orionflow.cli.query import read_states
from orionflow.cli.resource import Options
from orionflow.cli.session import Session
from orionflow.cli.times import duration, read_period
from orionflow.contract.states import NAMES as STATE_NAMES

RESOURCE = "prefect.resource.id"
RUNS = "prefect.flow-run."
# The names of states, each assigned to the first type that has it: only task runs are NotReady.
_TYPES = {name: one.value for one, names in reversed(list(STATE_NAMES.items())) for name in names}
NAMES = {one.value: [name for name in names if _TYPES[name] == one] for one, names in STATE_NAMES.items()}

TRIGGER_PARAMS: tuple[click.Parameter, ...] = (
    click.Option(["--on", "states"], metavar="STATE,…", multiple=True, help="When runs enter one of these states."),
    click.Option(["--stuck-in", "stuck"], metavar="STATE", help="When runs stay in this state; needs --for."),
    click.Option(["--for", "period"], metavar="PERIOD", help="The time that is too long, such as 1h."),
    click.Option(["--event", "events"], metavar="NAME", multiple=True, help="When this event arrives; may end with *."),
    click.Option(["--count"], type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many."),
    click.Option(["--within"], metavar="PERIOD", help="In this time from now, such as 10m."),
    click.Option(["--flow", "flows"], metavar="FLOW", multiple=True, help="Only of these flows."),
    click.Option(["--deployment", "deployments"], metavar="DEPLOYMENT", multiple=True, help="Only of these."),
    click.Option(["--tag", "tags"], metavar="TAG", multiple=True, help="Only with one of these tags."),
)


def trigger_of(session: Session, options: Options) -> Json:
    """Return the trigger that the options describe; exactly one kind must be named."""
    kinds = {"--on": options["states"], "--stuck-in": options["stuck"], "--event": options["events"]}
    named = [name for name, value in kinds.items() if value]
    if len(named) != 1:
        raise click.UsageError(f"Say when, with one of {', '.join(kinds)}; or describe it in a file: -f FILE.")
    if (options["period"] is not None) != (named == ["--stuck-in"]):
        raise click.UsageError("--stuck-in and --for belong together: --stuck-in running --for 1h.")
    about = _about(session, options)
    if named == ["--stuck-in"]:
        return {**about, **_stuck(options["stuck"], options["period"])}
    counted = {"posture": "Reactive", "threshold": options["count"], "within": _seconds(options["within"])}
    if options["count"] > 1 and not options["within"]:
        raise click.UsageError("--count needs --within: the period in which the events are counted.")
    if named == ["--event"]:
        return {**about, "type": "event", "expect": list(options["events"]), **counted}
    return {**about, "type": "event", **_of_runs(options["states"]), **counted}


def _of_runs(states: tuple[str, ...]) -> Json:
    """Return a trigger on types if only types are named, as a type also covers names that users give."""
    types, names = read_states(states)
    if not names:
        match: Json = {RESOURCE: f"{RUNS}*", **({"prefect.state-type": types} if types else {})}
        return {"match": match, "expect": [f"{RUNS}*"]}
    every = [*names, *(name for one in types for name in NAMES[one])]
    return {"match": {RESOURCE: f"{RUNS}*"}, "expect": [f"{RUNS}{name}" for name in every]}


def _stuck(state: str, period: str) -> Json:
    """Return a proactive trigger: after a run entered the state, no further event of it comes in time."""
    types, names = read_states([state])
    entered = [*names, *(name for one in types for name in NAMES[one])]
    if not entered:
        raise click.UsageError("--stuck-in needs a state, such as running.")
    left = [name for known in NAMES.values() for name in known if name not in entered]
    return {
        "type": "event",
        "posture": "Proactive",
        "match": {RESOURCE: f"{RUNS}*"},
        "for_each": [RESOURCE],
        "after": [f"{RUNS}{name}" for name in entered],
        "expect": [f"{RUNS}{name}" for name in left],
        "threshold": 1,
        "within": _seconds(period),
    }


def _about(session: Session, options: Options) -> Json:
    """Restrict the event to flows, deployments or tags, but only one kind of them, as one resource has to match."""
    ids = {
        "--flow": [f"prefect.flow.{find_flow(session.api, name)['id']}" for name in options["flows"]],
        "--deployment": [
            f"prefect.deployment.{find_deployment(session, name)['id']}" for name in options["deployments"]
        ],
        "--tag": [f"prefect.tag.{tag}" for tag in options["tags"]],
    }
    named = [option for option, found in ids.items() if found]
    if len(named) > 1:
        raise click.UsageError(f"{' and '.join(named)} cannot be asked for together; make an automation for each.")
    return {"match_related": {RESOURCE: ids[named[0]]}} if named else {}


def _seconds(period: str | None) -> float:
    return read_period(period).total_seconds() if period else 0.0


def trigger_text(trigger: Json) -> str:
    """Return a short description of a trigger: `3 of prefect.flow-run.Failed in 10m`."""
    if trigger["type"] != "event":
        joined = " then " if trigger["type"] == "sequence" else ", "
        every = joined.join(f"({trigger_text(one)})" for one in trigger["triggers"])
        return every if trigger["type"] == "sequence" else f"{trigger['require']} of {every}"
    names = [str(one).removeprefix("prefect.") for one in trigger.get("expect") or ()]
    types = (trigger.get("match") or {}).get("prefect.state-type")
    if types:
        names = [f"flow-run is {', '.join(one.lower() for one in ([types] if isinstance(types, str) else types))}"]
    what = _shortened(names) or "any event"
    within = f" in {duration(trigger['within'])}" if trigger.get("within") else ""
    if trigger["posture"] == "Proactive":
        after = _shortened([str(one).removeprefix("prefect.") for one in trigger.get("after") or ()])
        return f"no {what}{within}{f' after {after}' if after else ''}"
    times = f"{trigger['threshold']} of " if trigger.get("threshold", 1) > 1 else ""
    return f"{times}{what}{within}"


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" … ({len(names)})" if len(names) > 3 else "")
