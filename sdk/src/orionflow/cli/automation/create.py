"""`orion automation create`: from options, or from YAML and JSON in the API's own form."""

from __future__ import annotations

from typing import Any

import click

from orionflow.calls.events import AUTOMATIONS, replace_automation
from orionflow.cli.automation.actions import ACTION_PARAMS, actions_of
from orionflow.cli.automation.commands import AUTOMATION
from orionflow.cli.automation.triggers import TRIGGER_PARAMS, trigger_of, trigger_text
from orionflow.cli.backend import Backend, Json
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.parameters import read_structure
from orionflow.cli.session import Session, command, with_params


@command(
    ("orion automation create hung --stuck-in running --for 1h --cancel", "stop runs that hang"),
    ("orion automation create alarm --on failed --count 3 --within 10m --notify slack-webhook/team", ""),
    ("orion automation create next --on completed --flow etl --run etl/prod -p limit=5", "one after the other"),
    ("orion automation create -f automations.yaml", "one, or a list of them, as the API has them"),
)
@click.argument("name", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="Read JSON or YAML; - is stdin.")
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option("--overwrite", is_flag=True, help="Replace the automation of this name, if there is one.")
@with_params(*TRIGGER_PARAMS, *ACTION_PARAMS)
def create(
    session: Session, name: str | None, file: str | None, description: str | None, paused: bool, overwrite: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Create an automation, from options or from a file in the API's form, with `trigger` and `actions`."""
    if file is not None:
        given = [option for option, value in options.items() if value and option != "count"]
        if given:
            raise click.UsageError("A file says everything; leave out the other options.")
        asked = _from_file(file, name)
    elif name is None:
        raise click.UsageError("Name the automation, or give a file with -f.")
    else:
        asked = [{"name": name, "trigger": trigger_of(session, options), "actions": actions_of(session, options)}]
    more = {**({"description": description} if description else {}), **({"enabled": False} if paused else {})}
    made = [_store(session.api, {**one, **more}, overwrite=overwrite) for one in asked]
    if not session.for_people:
        AUTOMATION.show(session, made)
        return
    for one in made:
        session.announce(f"Created the automation {one['name']}: {trigger_text(one['trigger'])}.")


def _from_file(file: str, name: str | None) -> list[Json]:
    """Return one automation, a list of them, or an object with a list `automations`."""
    whole = read_structure(file)
    listed = whole.get("automations") if isinstance(whole, dict) and "automations" in whole else whole
    every: list[Any] = listed if isinstance(listed, list) else [listed]
    if not every or not all(isinstance(one, dict) for one in every):
        raise CommandFailed(
            ExitCode.USAGE, f"{file} does not describe an automation.", fix="write `name`, `trigger` and `actions`"
        )
    if name is not None and len(every) != 1:
        raise click.UsageError("A name fits a file with one automation.")
    return [{**one, **({"name": name} if name else {})} for one in every]


def _store(api: Backend, asked: Json, *, overwrite: bool) -> Json:
    known = list(api.pages(AUTOMATIONS, {"automations": {"name": {"any_": [str(asked.get("name"))]}}}, 2))
    if known and not overwrite:
        raise CommandFailed(
            ExitCode.CONFLICT, f"There is an automation {asked['name']!r} already.",
            fix="choose another name, or add --overwrite",
        )  # fmt: skip
    if known:
        # The file or the options describe the whole automation, so what they omit has its default.
        omitted: Json = {"description": "", "actions_on_trigger": [], "actions_on_resolve": []}
        api.ask(replace_automation(known[0]["id"], {**omitted, **asked}))
        stored: Json = api.ask(AUTOMATIONS.read(known[0]["id"]))
        return stored
    made: Json = api.ask(AUTOMATIONS.create(asked))
    return made
