"""Typed readers of environment variables. An invalid setting stops the start with one sentence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from orionflow.settings.values import default_home

# All variables that the server reads; a set variable that resembles one of them, but is not read, is a typo.
READ_VARIABLES = {"ORION_HOME", "ORION_DATABASE_URL"}
REDIS_LAYER = "channels_redis.core.RedisChannelLayer"
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"})


def env_str(name: str, default: str = "") -> str:
    READ_VARIABLES.add(name)
    return os.environ.get(name, default)


def env_bool(name: str, default: bool = False) -> bool:
    """Return the value of a variable that says yes or no. Raises ImproperlyConfigured."""
    raw = env_str(name).strip().lower()
    if raw in {"", "none"}:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} is not a yes or no; use true or false.")


def env_int(name: str, default: int, *, minimum: int | None = None) -> int:
    """Return the whole number in a variable. Raises ImproperlyConfigured, also below the minimum."""
    raw = env_str(name).strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number.") from None
    if minimum is not None and value < minimum:
        raise ImproperlyConfigured(f"{name}={value} is too small; the least is {minimum}.")
    return value


def env_float(name: str, default: float, *, minimum: float | None = None) -> float:
    """Return the number in a variable. Raises ImproperlyConfigured, also below the minimum and for infinity."""
    raw = env_str(name).strip()
    if not raw:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a number.") from None
    if not isfinite(value) or (minimum is not None and value < minimum):
        raise ImproperlyConfigured(
            f"{name}={raw} is too small or no number to count with; the least is {minimum or 0}."
        )
    return value


def env_choice(name: str, choices: Sequence[str], default: str = "") -> str:
    value = env_str(name).strip().lower()
    if value and value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r} is unknown; use {', '.join(choices[:-1])} or {choices[-1]}.")
    return value or default


def env_list(name: str, default: tuple[str, ...] = ()) -> list[str]:
    raw = env_str(name)
    return [part.strip() for part in raw.split(",") if part.strip()] if raw.strip() else list(default)


def env_mapping(name: str) -> dict[str, str]:
    """Read pairs, separated by commas: `theirs=ours, others=ours`."""
    pairs = [one.partition("=") for one in env_list(name)]
    if any(not key.strip() or not value.strip() for key, _, value in pairs):
        raise ImproperlyConfigured(f"{name}={env_str(name)!r} names no pairs; write theirs=ours, others=ours.")
    return {key.strip(): value.strip() for key, _, value in pairs}


def result_folders() -> list[Path]:
    """Return the folders of stored results that this process knows, from the SDK's settings."""
    given = [os.environ.get("ORION_RESULTS_PATH", ""), *os.environ.get("ORION_RESULTS_READ_FROM", "").split(",")]
    return [orion_home() / "results", *(Path(one.strip()).expanduser() for one in given if one.strip())]


def orion_home() -> Path:
    """Return the folder of Orion's database, profiles, spool and results: `ORION_HOME`, or `~/.orion`.

    For a user without a home directory, as in many containers, it is a folder for this user in the temporary directory.
    """
    given = os.environ.get("ORION_HOME")
    try:
        return Path(given or "~/.orion").expanduser().absolute()
    except RuntimeError:
        if given:
            raise ImproperlyConfigured(f"ORION_HOME={given!r}: this user has no home; write the whole path.") from None
        return default_home()


def database_url() -> str:
    return os.environ.get("ORION_DATABASE_URL") or f"sqlite:///{orion_home() / 'orion.db'}"


def database_from_url(url: str) -> dict[str, Any]:
    """Return Django's settings for `sqlite:///path`, `sqlite:////absolute/path` or `postgresql://user:pw@host/name`.

    Raises ImproperlyConfigured for any other scheme and for a URL without a database name.
    """
    parts = _parts_of(url)
    match parts.scheme.split("+")[0]:
        case "sqlite" | "sqlite3":
            return _sqlite(url)
        case "postgresql" | "postgres":
            return _postgresql(url)
    raise ImproperlyConfigured(
        f"ORION_DATABASE_URL starts with {parts.scheme!r}; use sqlite:///path/to/orion.db or postgresql://user:password@host/name."
    )


def replica_from_url(url: str) -> dict[str, Any]:
    """Return Django's settings for a replica: read-only, with short timeouts.

    Raises ImproperlyConfigured for anything but PostgreSQL.
    """
    name = "ORION_DATABASE_REPLICA_URL"
    if _parts_of(url, name).scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ImproperlyConfigured(
            f"{name} is that of a PostgreSQL server; write postgresql://user:password@host/name."
        )
    found = _postgresql(url)
    options = found["OPTIONS"]
    options["pool"] |= {"min_size": 0, "timeout": 2, "reconnect_timeout": 2}
    options |= {
        "connect_timeout": 2,
        "application_name": "orion-replica",
        "options": f"{options['options']} -c default_transaction_read_only=on",
    }
    # Tests use one database.
    return {**found, "TEST": {"MIRROR": "default"}}


def _parts_of(url: str, name: str = "ORION_DATABASE_URL") -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # The message of the error may contain the password.
        why = "its host or port cannot be read"
        fix = "in a password write @ as %40, / as %2F, [ as %5B and # as %23"
        raise ImproperlyConfigured(f"{name}: {why}; {fix}.") from None
    return parts


PAGE_CACHE_KILOBYTES = 20_000


def with_page_cache(database: dict[str, Any], kilobytes: int) -> dict[str, Any]:
    """Return a database of the settings with another page cache for each connection, if it is SQLite."""
    options = dict(database.get("OPTIONS", {}))
    if "init_command" in options:
        options["init_command"] += f";PRAGMA cache_size=-{kilobytes}"
    return {**database, "OPTIONS": options}


def _sqlite(url: str) -> dict[str, Any]:
    # As in SQLAlchemy: three slashes before a relative path, four before an absolute one.
    path = unquote(urlsplit(url).path)[1:]
    if not path.strip("/"):
        raise ImproperlyConfigured("ORION_DATABASE_URL names no file; use sqlite:///path/to/orion.db.")
    pragmas = (
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={_synchronous()}",
        "PRAGMA foreign_keys=ON",
        "PRAGMA busy_timeout=20000",
        "PRAGMA journal_size_limit=67108864",
        f"PRAGMA cache_size=-{PAGE_CACHE_KILOBYTES}",
        # Runs have triggers, for which SQLite keeps a statement's changes, by default in a temporary file for every
        # row.
        "PRAGMA temp_store=MEMORY",
    )
    return {
        "ENGINE": "orion_site.database.sqlite",
        # Absolute, because a program may change its folder before a thread opens another connection.
        "NAME": os.path.abspath(path),
        "CONN_MAX_AGE": None,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": ";".join(pragmas)},
        "TEST": {"NAME": env_str("ORION_TEST_SQLITE") or None},
    }


def _synchronous() -> str:
    value = env_str("ORION_SQLITE_SYNCHRONOUS", "NORMAL").upper()
    if value not in {"NORMAL", "FULL"}:
        raise ImproperlyConfigured(f"ORION_SQLITE_SYNCHRONOUS={value!r} is unknown; use NORMAL or FULL.")
    return value


def _postgresql(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ImproperlyConfigured("ORION_DATABASE_URL names no database; use postgresql://user:password@host/name.")
    query = dict(parse_qsl(parts.query))
    # Statements are short: JIT compilation costs many times what it saves, and is chosen by estimates alone.
    session = "-c statement_timeout=15s -c lock_timeout=3s -c idle_in_transaction_session_timeout=30s -c jit=off"
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": str(parts.port or query.pop("port", "") or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "pool": {
                "min_size": 1,
                "max_size": env_int("ORION_DATABASE_POOL_SIZE", 20, minimum=1),
                "timeout": 10,
                # The interval between attempts doubles: without a limit, a database that was down for a minute would
                # not be noticed for another minute. The next request starts again.
                "reconnect_timeout": 10,
                "max_idle": 300,
            },
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 20000,
            "application_name": "orion",
            **_prepared_statements(),
            "isolation_level": 2,  # READ COMMITTED, whatever the database's default is
            "options": session,
            **query,
        },
    }


def _prepared_statements() -> dict[str, Any]:
    """Return options for prepared statements, which save a third of the time of each transition.

    A pooler that assigns another connection to each transaction may not support them; then set the variable to no.
    """
    if not env_bool("ORION_DATABASE_PREPARED_STATEMENTS", True):
        return {}
    return {"server_side_binding": True, "prepare_threshold": 3}


def channel_layers(url: str) -> dict[str, dict[str, Any]]:
    """Return the setting of Channels for `memory` or `redis://host:port/0`; a system check reports anything else."""
    if url.partition("://")[0] in REDIS_SCHEMES:
        return {"default": {"BACKEND": REDIS_LAYER, "CONFIG": {"hosts": [url], "prefix": "orion"}}}
    return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def env_networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Read addresses and networks, separated by commas."""
    try:
        return [ip_network(one, strict=False) for one in env_list(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}; write addresses, such as 127.0.0.1, 10.0.0.0/8.") from None


def external_url() -> str:
    """Return `ORION_EXTERNAL_URL`, or `ORION_UI_URL`, its former name."""
    name = "ORION_EXTERNAL_URL" if env_str("ORION_EXTERNAL_URL") else "ORION_UI_URL"
    url = env_str(name).strip().rstrip("/") or "http://127.0.0.1:4200"
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment or parts.username):
        return url
    raise ImproperlyConfigured(
        f"{name} is not an address of a server; write it like https://orion.example or with a path."
    )


def traces_link() -> str:
    """Return `ORION_TRACES_LINK`, an address that contains `{trace_id}`."""
    link = env_str("ORION_TRACES_LINK").strip()
    if link and (not link.startswith(("http://", "https://")) or "{trace_id}" not in link):
        raise ImproperlyConfigured(
            "ORION_TRACES_LINK is not an address of traces; write it like https://traces.example/trace/{trace_id}."
        )
    return link


def host_of(url: str) -> list[str]:
    """Return the host of an address, as in the header `Host` without a port."""
    host = urlsplit(url).hostname or ""
    return [f"[{host}]" if ":" in host else host]


def path_of(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def trusted_origins(ui_url: str, hosts: Sequence[str]) -> list[str]:
    """Return the origins of Orion's pages as browsers send them: that of the external URL, and HTTPS of each host."""
    parts = urlsplit(ui_url)
    own = [f"{parts.scheme}://{parts.netloc}"] if parts.scheme in {"http", "https"} and parts.netloc else []
    return [*own, *(f"https://{host}" for host in hosts if "*" not in host)]
