"""The SDK's settings: one table of names, types, defaults and meanings, and the origin of each value.

The page `docs/reference/settings.md` is generated from this table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from orionflow.errors import SettingsError
from orionflow.settings.locations import Location, read_locations
from orionflow.settings.values import (
    Reader,
    default_home,
    logging_name,
    read_count,
    read_folders,
    read_key,
    read_level,
    read_log_format,
    read_names,
    read_path,
    read_positive,
    read_seconds,
    read_text,
    read_url,
    read_yes_or_no,
    shown_url,
)

PREFIX = "ORION_"
EMPTY = frozenset({"", "none", "null"})


def setting(default: Any, read: Reader, meaning: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"read": read, "meaning": meaning, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the SDK with their values; `origins` says where values other than defaults come from."""

    api_url: str | None = setting(
        None, read_url, "The address of the API. Unset: it runs in this process, without a server."
    )
    api_key: str | None = setting(
        None,
        read_text,
        "The key for the API. Unset: the key that `orion auth login` stored for it.",
        secret=True,
    )
    home: Path = setting(default_home(), read_path, "Where Orion keeps its database, profiles, results and spool.")
    profile: str = setting("default", read_text, "The profile of `profiles.toml` that is active.")
    broker_url: str | None = setting(
        None,
        read_text,
        "The broker of agents and task workers: redis://…, amqp://…, filesystem:///folder; unset: agents poll the API.",
        secret=True,
    )
    task_key: str | None = setting(
        None, read_text, "The key that seals tasks on their way to task workers. Unset: a key in the home.", secret=True
    )

    api_connect_timeout_seconds: float = setting(5.0, read_seconds, "How long to wait for a connection to the API.")
    api_read_timeout_seconds: float = setting(30.0, read_seconds, "How long to wait for a response of the API.")
    api_retry_budget_seconds: float = setting(
        60.0, read_seconds, "How long one request is repeated while the API cannot be reached or is overloaded."
    )

    reporting_interval_ms: int = setting(
        50, read_count, "How long a transition waits for others before they are sent together."
    )
    reporting_batch_size: int = setting(500, read_positive, "The most transitions sent in one request.")
    reporting_queue_size: int = setting(
        20_000, read_positive, "Transitions kept in memory before the program is slowed down, then spooled to a file."
    )
    reporting_block_seconds: float = setting(
        10.0, read_seconds, "How long a full queue slows the program down before transitions go to a spool file."
    )
    reporting_budget_seconds: float = setting(
        600.0, read_seconds, "How long a flow run waits for an unreachable API before it gives up its report."
    )
    reporting_exit_seconds: float = setting(
        10.0, read_seconds, "How long the program waits at its exit for an unreachable API before it spools the rest."
    )

    log_format: str = setting(
        "text", read_log_format, "The format of log lines on stderr: text, or json with one object per line."
    )
    logging_level: int = setting(20, read_level, "The lowest level of the run loggers.")
    logging_to_api: bool = setting(True, read_yes_or_no, "Whether log lines of runs are sent to the API.")
    logging_queue_size: int = setting(
        10_000, read_positive, "Log lines kept in memory; further ones are dropped, counted and reported as a gap."
    )
    logging_line_bytes: int = setting(65_536, read_positive, "The longest log line sent; the rest of it is cut off.")
    logging_extra_loggers: tuple[str, ...] = setting(
        (), read_names, "Further loggers whose lines belong to runs, separated by commas."
    )
    logging_log_prints: bool = setting(
        False, read_yes_or_no, "The default of `log_prints`: whether `print` writes to the run's log."
    )

    results_path: Path | None = setting(None, read_path, "Where results are stored. Unset: `results` in the home.")
    results_persist_by_default: bool = setting(
        False, read_yes_or_no, "Whether results are stored if a flow or task does not set it."
    )
    results_read_from: tuple[str, ...] = setting(
        (),
        read_folders,
        "Further folders from which stored results may be read, separated by commas.",
    )
    results_locations: tuple[Location, ...] = setting(
        (),
        read_locations,
        "Named locations of results: `lake=s3://bucket/results, team=/data/team`, or a JSON object with options; "
        "in files a table.",
        secret=True,
    )
    results_storage: str | None = setting(
        None,
        read_text,
        "The location or folder of results whose flow or task does not set one. Unset: ORION_RESULTS_PATH.",
    )
    results_timeout_seconds: float = setting(
        30.0, read_seconds, "How long a run waits for a location of results to answer."
    )
    traces_url: str | None = setting(
        None,
        read_url,
        "Where spans of runs are sent by OTLP over HTTP, such as http://127.0.0.1:4318/v1/traces. Unset: nowhere.",
    )
    results_key: str | None = setting(
        None,
        read_key,
        "The key that seals stored results that run code when they are read. Machines that share results need the "
        "same key. Unset: a key in the home.",
        secret=True,
    )
    flow_default_retries: int = setting(0, read_count, "Retries of flows that do not set them.")
    flow_default_retry_delay_seconds: float = setting(0.0, read_seconds, "Delay before a retry of a flow.")
    task_default_retries: int = setting(0, read_count, "Retries of tasks that do not set them.")
    task_default_retry_delay_seconds: float = setting(0.0, read_seconds, "Delay before a retry of a task.")
    task_runner_threads: int | None = setting(
        None, read_positive, "The most threads of the default task runner. Unset: 64."
    )

    storage_timeout_seconds: float = setting(
        60.0, read_seconds, "How long fetching the code of a deployed flow may take, for each of its steps."
    )
    storage_max_megabytes: int = setting(
        1024, read_positive, "How much disk space a deployed flow's code may take; fetching stops there."
    )

    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def origin(self, name: str) -> str:
        """Return the origin of a setting's value, as text."""
        return self.origins.get(name, "default")


def settings_table() -> tuple[Field[Any], ...]:
    """Return the fields of all settings, in the order of the documentation."""
    return tuple(one for one in fields(Settings) if "meaning" in one.metadata)


def environment_name(name: str) -> str:
    return PREFIX + name.upper()


def read_setting(one: Field[Any], raw: object, origin: str) -> Any:
    """Return the typed value of a raw value; raise SettingsError if it cannot be read."""
    text = _as_text(raw)
    if text.lower() in EMPTY:
        return default_of(one)
    try:
        return one.metadata["read"](text)
    except ValueError as why:
        shown = "" if one.metadata["secret"] else f"={shown_url(text)!r}"
        raise SettingsError(f"{environment_name(one.name)}{shown} ({origin}) {why}.") from None


def _as_text(raw: object) -> str:
    if isinstance(raw, dict):
        import json

        return json.dumps(raw, default=str)
    if isinstance(raw, list | tuple):
        return ",".join(map(str, raw))
    return str(raw).strip()


def default_of(one: Field[Any]) -> Any:
    return None if one.default is MISSING else one.default


def resolve_settings(layers: list[tuple[str, Mapping[str, object]]]) -> Settings:
    """Return settings from layers of raw values, the strongest first; each layer has a text for its origin."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for one in settings_table():
        for origin, layer in layers:
            if one.name in layer:
                values[one.name] = read_setting(one, layer[one.name], origin)
                origins[one.name] = origin
                break
    return Settings(**values, origins=origins)


_flags: list[dict[str, Any]] = []
_warned: set[tuple[str, str]] = set()
# One tuple, which threads replace as a whole: the values belong to the environment and folder beside them.
_resolved: tuple[object, Settings] | None = None


def current_settings() -> Settings:
    """Return the current settings. Files are read once per working directory and environment."""
    global _resolved
    environment = _environment()
    key = (tuple(environment.items()), _working_directory())
    if _resolved is None or _resolved[0] != key:
        _resolved = (key, _read_everything(environment))
    return _with_flags(_resolved[1])


def forget_settings() -> None:
    """Read the files again at the next use, as a profile was changed."""
    global _resolved
    _resolved = None


@contextmanager
def override_settings(**flags: Any) -> Iterator[None]:
    """Override settings by typed values in the whole process, until the block ends."""
    _flags.append(flags)
    try:
        yield
    finally:
        _flags.remove(flags)


def _with_flags(settings: Settings) -> Settings:
    if not _flags:
        return settings
    flags = {name: value for layer in _flags for name, value in layer.items()}
    return replace(settings, **flags, origins={**settings.origins, **dict.fromkeys(flags, "flag")})


def _environment() -> dict[str, str]:
    # Called often, so values of other variables are not even read.
    return {name: os.environ[name] for name in os.environ if name.startswith(PREFIX)}


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _read_everything(environment: dict[str, str]) -> Settings:
    from orionflow.settings.profiles import profile_layer, project_layer

    known = {environment_name(one.name): one.name for one in settings_table()}
    layers: list[tuple[str, Mapping[str, object]]] = [
        (f"environment {name}", {known[name]: value}) for name, value in environment.items() if name in known
    ]
    files = project_layer(_working_directory())
    _warn_of_slips(environment, known, files)
    layers += files
    home = resolve_settings(layers)
    layers += profile_layer(home.home, home.profile if "profile" in home.origins else None)
    return resolve_settings(layers)


def _warn_of_slips(
    environment: Mapping[str, str], known: Mapping[str, str], files: Sequence[tuple[str, Mapping[str, object]]]
) -> None:
    if not files and set(environment) <= set(known):
        return
    import logging

    from orionflow.settings.misspelt import misspelt_variables, unknown_settings

    for slip in [*misspelt_variables(environment, known), *unknown_settings(files, known.values())]:
        if slip not in _warned:
            _warned.add(slip)
            logging.getLogger("orionflow.settings").warning("%s; %s", *slip)


def settings_page() -> str:
    """Return the table of all settings as Markdown, the content of `docs/reference/settings.md`."""
    rows = [
        f"| `{environment_name(one.name)}` | {_shown_default(one)} | {one.metadata['meaning']} |"
        for one in settings_table()
    ]
    return PAGE_HEAD + "\n".join(rows) + "\n"


def _shown_default(one: Field[Any]) -> str:
    match one.default:
        case None | ():
            return "unset"
        case bool():
            return "`true`" if one.default else "`false`"
        case Path():
            return "`~/.orion`"
        case int() if one.metadata["read"] is read_level:
            return f"`{logging_name(one.default)}`"
    return f"`{one.default}`"


PAGE_HEAD = """# Settings

> [!NOTE]
> This page is written from the code. `make pages` renews it.

## Settings of programs

They hold for flows, for the command line and for agents.

A value is taken from the first place that has one: a flag of the command, the environment, `orion.toml` or the table
`[tool.orion]` of `pyproject.toml` in the working directory or above it, the active profile in `~/.orion/profiles.toml`,
the default. In files the names are written in lower case without the prefix, nested or not: `api_url = "…"` and
`[api]` `url = "…"` are the same. An empty value, `none` and `null` mean the default. `orion config view --show-origin`
tells where each value comes from.

| Variable | Default | Meaning |
|---|---|---|
"""
