"""`orion profile`: named sets of settings in `profiles.toml` of the home."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.config import setting_pair, stored_profiles
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.output import Column, as_text
from orionflow.cli.session import YES, Session, ask_before, command, with_params
from orionflow.cli.terminal import current_terminal
from orionflow.settings.values import shown_url
from orionflow.spelling import did_you_mean

if TYPE_CHECKING:
    from orionflow.settings.profiles import Profiles

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
SECRETS = frozenset({"api_key"})

profile = LazyGroup(
    "profile",
    __name__,
    help="Profiles: named sets of settings, one of which is active.",
    entries={
        "ls": "List profiles.",
        "inspect": "Show what a profile sets.",
        "create": "Create a profile.",
        "use": "Make a profile the active one.",
        "rename": "Rename a profile.",
        "delete": "Delete a profile.",
    },
    examples=(
        ("orion profile create staging -s api_url=https://orion.example/api", ""),
        ("orion profile use staging", ""),
        ("orion --profile staging fr ls", "for one command"),
    ),
)


@command(("orion profile ls", "the active one is marked"), ("orion profile ls --json", ""))
def ls(session: Session) -> None:
    """List profiles; the active one is marked."""
    from orionflow.settings import current_settings

    stored, active = stored_profiles(), current_settings().profile
    rows = [_row(name, values, active) for name, values in stored.profiles.items()]
    columns = [
        Column("ACTIVE", lambda row: "*" if row["active"] else "", field="active"),
        Column("PROFILE", lambda row: row["name"], field="name"),
        Column("SETS", lambda row: as_text(list(row["settings"])), field="settings"),
    ]
    session.output.show_many(rows, columns)


def _row(name: str, values: dict[str, object], active: str) -> dict[str, Any]:
    shown = {
        key: "********" if key in SECRETS else shown_url(value) if isinstance(value, str) else value
        for key, value in values.items()
    }
    return {"name": name, "active": name == active, "settings": shown}


@command(("orion profile inspect", "the active one"), ("orion profile inspect default", ""))
@click.argument("name", required=False)
def inspect(session: Session, name: str | None) -> None:
    """Show what a profile sets; without a NAME, the active one. Secrets are never shown."""
    from orionflow.settings import current_settings

    active = current_settings().profile
    wanted = name or active
    row = _row(wanted, _existing(stored_profiles(), wanted), active)
    shown = [Column("settings", lambda row: _lines(row["settings"]))]
    session.show_one(row, [Column("name", lambda row: row["name"], field="name"), *shown])


def _lines(settings: dict[str, object]) -> str:
    return "\n".join(f"{key} = {value}" for key, value in settings.items()) or "-"


@command(
    ("orion profile create staging -s api_url=https://orion.example/api", ""),
    ("orion profile create copy --from default", "with the same settings"),
)
@click.argument("name")
@click.option("-s", "--set", "pairs", metavar="NAME=VALUE", multiple=True, help="A setting of the new profile.")
@click.option("--from", "source", metavar="PROFILE", help="Start with the settings of this profile.")
def create(session: Session, name: str, pairs: Sequence[str], source: str | None) -> None:
    """Create a profile."""
    stored = stored_profiles()
    _refuse_existing(stored, name)
    begin = dict(_existing(stored, source)) if source else {}
    stored.profiles[name] = {**begin, **dict(setting_pair(pair) for pair in pairs)}
    _save(stored)
    session.note(f"Created profile {name}; make it the active one with: orion profile use {name}")
    _show_to_programs(session, stored, name)


def _show_to_programs(session: Session, stored: Profiles, name: str) -> None:
    if not session.for_people:
        session.show_one(_row(name, stored.profiles.get(name, {}), stored.active))


@command(("orion profile use default", ""))
@click.argument("name")
def use(session: Session, name: str) -> None:
    """Make a profile the active one."""
    stored = stored_profiles()
    _existing(stored, name)
    stored.active = name
    _save(stored)
    session.note(f"Profile {name} is active now.")
    _warn_if_environment_wins(name)
    _show_to_programs(session, stored, name)


def _warn_if_environment_wins(name: str) -> None:
    from orionflow.settings import current_settings

    settings = current_settings()
    if settings.profile != name:
        current_terminal().note(f"But here profile {settings.profile} is in force, from {settings.origin('profile')}.")


@command(("orion profile rename staging testing", ""))
@click.argument("name")
@click.argument("new_name")
def rename(session: Session, name: str, new_name: str) -> None:
    """Rename a profile."""
    stored = stored_profiles()
    _existing(stored, name)
    _refuse_existing(stored, new_name)
    stored.profiles = {new_name if key == name else key: values for key, values in stored.profiles.items()}
    stored.active = new_name if stored.active == name else stored.active
    _save(stored)
    session.note(f"Profile {name} is called {new_name} now.")
    _show_to_programs(session, stored, new_name)


@command(("orion profile delete staging --yes", ""))
@click.argument("name")
@with_params(YES)
def delete(session: Session, name: str, yes: bool) -> None:
    """Delete a profile; the active one cannot be deleted."""
    stored = stored_profiles()
    _existing(stored, name)
    if stored.active == name:
        raise CommandFailed(ExitCode.CONFLICT, f"Profile {name} is active.", fix="orion profile use another one first")
    ask_before(f"delete the profile {name}", yes=yes)
    gone = _row(name, stored.profiles.pop(name), stored.active)
    _save(stored)
    session.note(f"Deleted profile {name}.")
    if not session.for_people:
        session.show_one(gone)


def _existing(stored: Profiles, name: str) -> dict[str, object]:
    if name in stored.profiles:
        return stored.profiles[name]
    fix = did_you_mean(name, stored.profiles, f"orion profile create {name}", most=1)
    raise CommandFailed(ExitCode.NOT_FOUND, f"There is no profile {name!r}.", f"{stored.path} does not have it", fix)


def _refuse_existing(stored: Profiles, name: str) -> None:
    if not NAME.match(name):
        raise click.UsageError(f"{name!r} cannot be a profile's name; use letters, digits, - _ and . in it.")
    if name in stored.profiles:
        raise CommandFailed(ExitCode.CONFLICT, f"Profile {name} exists already.", fix=f"orion profile inspect {name}")


def _save(stored: Profiles) -> None:
    from orionflow.settings import forget_settings

    stored.save()
    forget_settings()
