"""`orion config`: the current settings, their origins, and changes to the active profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.lazy import LazyGroup
from orionflow.cli.output import Column, as_text
from orionflow.cli.session import Session, command
from orionflow.cli.terminal import current_terminal
from orionflow.settings.values import shown_url
from orionflow.spelling import did_you_mean

if TYPE_CHECKING:
    from orionflow.settings.profiles import Profiles

config = LazyGroup(
    "config",
    __name__,
    help="Settings. Flags win over ORION_* variables, these over orion.toml, this over the profile, all over defaults.",
    entries={
        "view": "Show the settings in force.",
        "set": "Set values in the active profile.",
        "unset": "Remove values from the active profile.",
    },
    examples=(("orion config view --show-origin", ""), ("orion config set api_url=http://127.0.0.1:4200/api", "")),
)


@command(
    ("orion config view", "what differs from the defaults"),
    ("orion config view --all --show-origin", "everything, and where it came from"),
    ("orion config view -o json", "for scripts"),
)
@click.option("--show-origin", is_flag=True, help="Show where each value comes from.")
@click.option("--all", "every", is_flag=True, help="Show defaults and meanings too.")
def view(session: Session, show_origin: bool, every: bool) -> None:
    """Show the settings in force. Secrets are never shown."""
    rows = [row for row in setting_rows() if every or row["origin"] != "default" or not session.for_people]
    columns = [
        Column("SETTING", lambda row: row["name"], field="name"),
        Column("VALUE", lambda row: as_text(row["value"]), field="value"),
        *([Column("ORIGIN", lambda row: row["origin"], field="origin")] if show_origin else []),
        *([Column("MEANING", lambda row: row["meaning"], field="meaning")] if every else []),
    ]
    session.output.show_many(rows, columns)
    if not rows:
        session.note("Everything is at its default; --all shows the defaults.")


def setting_rows() -> list[dict[str, Any]]:
    from orionflow.settings import current_settings, environment_name, settings_table

    settings = current_settings()
    return [
        {
            "name": one.name,
            "value": _shown(getattr(settings, one.name), secret=one.metadata["secret"]),
            "origin": settings.origin(one.name),
            "environment": environment_name(one.name),
            "meaning": one.metadata["meaning"],
        }
        for one in settings_table()
    ]


def _shown(value: Any, *, secret: bool) -> Any:
    if secret and value is not None:
        return "********"
    if isinstance(value, str):
        return shown_url(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return as_text(list(value) if isinstance(value, tuple) else str(value))


@command(
    ("orion config set api_url=http://127.0.0.1:4200/api", "use a running server"),
    ("orion config set ORION_LOGGING_LEVEL=DEBUG", "names of variables are understood too"),
)
@click.argument("pairs", metavar="NAME=VALUE...", nargs=-1, required=True)
def set_(session: Session, pairs: Sequence[str]) -> None:
    """Set values in the active profile: NAME=VALUE, several of them, or NAME VALUE."""
    values = dict(setting_pair(pair) for pair in _joined(pairs))
    name = change_profile(lambda profile: profile.update(values))
    session.note(f"Set {', '.join(values)} in profile {name}.")
    _warn_if_hidden(values)
    _show_to_programs(session, values)


def _show_to_programs(session: Session, names: Sequence[str] | dict[str, str]) -> None:
    """Show the current values of the settings that were changed, to programs."""
    if not session.for_people:
        session.output.show_many([row for row in setting_rows() if row["name"] in names], [])


def _joined(words: Sequence[str]) -> Sequence[str]:
    """Accept `NAME VALUE` as well as `NAME=VALUE`."""
    return (f"{words[0]}={words[1]}",) if len(words) == 2 and "=" not in words[0] else words


def setting_pair(pair: str) -> tuple[str, str]:
    from orionflow.settings import read_setting, settings_table

    typed, separator, value = pair.partition("=")
    if not separator:
        raise click.UsageError(f"{pair!r} has no value; write {pair}=value.")
    name = setting_name(typed)
    one = next(one for one in settings_table() if one.name == name)
    read_setting(one, value, "the command line")
    return name, value


def setting_name(typed: str) -> str:
    """Return the setting's name in the table: `api_url`, `api-url` and `ORION_API_URL` are the same."""
    from orionflow.settings import settings_table

    name = typed.lower().replace("-", "_").removeprefix("orion_")
    known = [one.name for one in settings_table() if one.name not in ("home", "profile")]
    if name in ("home", "profile"):
        raise click.UsageError(f"A profile cannot set {name}; set ORION_{name.upper()} in the environment.")
    if name not in known:
        hint = did_you_mean(name, known, "`orion config view --all` lists them.", most=1)
        raise click.UsageError(f"There is no setting {typed!r}; {hint}")
    return name


@command(("orion config unset api_url", "back to the API in this process"))
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def unset(session: Session, names: Sequence[str]) -> None:
    """Remove values from the active profile."""
    known = [setting_name(name) for name in names]

    def remove(profile: dict[str, object]) -> None:
        for name in known:
            if name not in profile:
                raise CommandFailed(
                    ExitCode.NOT_FOUND,
                    f"The active profile does not set {name}.",
                    fix="orion config view --show-origin",
                )
            del profile[name]

    name = change_profile(remove)
    session.note(f"Removed {', '.join(known)} from profile {name}.")
    _show_to_programs(session, known)


def stored_profiles() -> Profiles:
    from orionflow.settings import current_settings
    from orionflow.settings.profiles import read_profiles

    return read_profiles(current_settings().home)


def change_profile(change: Callable[[dict[str, object]], None]) -> str:
    """Change the current profile and save it; return its name."""
    from orionflow.settings import current_settings, forget_settings

    name = current_settings().profile
    stored = stored_profiles()
    change(stored.profiles.setdefault(name, {}))
    stored.save()
    forget_settings()
    return name


def _warn_if_hidden(names: Sequence[str] | dict[str, str]) -> None:
    """Warn if another source overrides the changed value, as the change would have no effect."""
    from orionflow.settings import current_settings

    settings = current_settings()
    for name in names:
        if not settings.origin(name).startswith("profile"):
            current_terminal().note(
                f"{name} stays as it is: it comes from {settings.origin(name)}, which wins over profiles."
            )
