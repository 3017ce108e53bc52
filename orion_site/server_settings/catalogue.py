"""All settings of the server by subject, from which docs/reference/settings.md is generated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from deployments.models import ChangedSetting
from deployments.upkeep.current_settings import CHANGEABLE
from orion_site.accounts.local_owner import owner_by
from orion_site.env import env_str, orion_home

HIDDEN = "set, and not shown"
HOME, HOMES_FILE = "`~/.orion`", "a file in the home"


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting, and how to read it if Django's settings store it under another name."""

    name: str
    meaning: str
    read: Callable[[], Any] | None = None
    is_secret: bool = False
    # The file in ORION_HOME that contains it if the environment does not.
    file: str = ""
    # A description of a default that depends on the machine.
    default: str = ""


def database_words() -> str:
    """Return which database is used, without credentials."""
    parts = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{parts['NAME']}"
    return _server_words(parts)


def replica_words() -> str:
    parts = settings.DATABASES.get("replica")
    return _server_words(parts) if parts else ""


def _server_words(parts: Mapping[str, Any]) -> str:
    return urlsplit(f"postgresql://{parts['HOST']}:{parts['PORT']}/{parts['NAME']}").geturl()


def _address_without_login(name: str) -> Callable[[], str]:
    def read() -> str:
        address = str(getattr(settings, name))
        scheme, mark, rest = address.partition("://")
        return f"{scheme}{mark}{rest.rpartition('@')[2]}"

    return read


def _pool_size() -> Any:
    return settings.DATABASES["default"].get("OPTIONS", {}).get("pool", {}).get("max_size", "no pool")


def _further_hosts() -> list[str]:
    return [one for one in settings.ALLOWED_HOSTS if one not in {"localhost", "127.0.0.1", "[::1]", "testserver"}]


CATALOGUE: Mapping[str, Sequence[Entry]] = {
    "Retention": [
        Entry("ORION_RETENTION_DAYS_RUNS", "how many days finished runs are kept; 0: forever"),
        Entry("ORION_RETENTION_DAYS_LOGS", "how many days logs are kept"),
        Entry("ORION_RETENTION_DAYS_EVENTS", "how many days events are kept"),
        Entry("ORION_RETENTION_DAYS_AUDIT", "how many days entries of the audit log are kept; 0: forever"),
        Entry(
            "ORION_ARCHIVE_PATH",
            "where old runs are kept as Parquet files",
            _address_without_login("ORION_ARCHIVE_PATH"),
        ),
        Entry("ORION_ARCHIVE_AFTER_DAYS", "how many days after their end runs are moved to the archive"),
    ],
    "Runs and agents": [
        Entry("ORION_LATE_AFTER_SECONDS", "how long after its time a run becomes Late"),
        Entry(
            "ORION_CRASH_GRACE_SECONDS",
            "how long after its start the server waits for reports of programs that ended while no server was running",
        ),
        Entry("ORION_LEASE_SECONDS", "how long an agent may be silent before its runs are taken from it"),
        Entry(
            "ORION_LEASE_GRACE_SECONDS", "how long after the end of a lease the reconciler takes the run from the agent"
        ),
        Entry("ORION_RECONCILE_SECONDS", "how often leases are checked"),
        Entry("ORION_HEARTBEAT_SECONDS", "how often agents report"),
        Entry("ORION_AGENT_POLL_SECONDS", "how often agents ask for work without a hint from the broker"),
        Entry(
            "ORION_LOST_STARTS",
            "how often a run returns to its queue because its agent disappears before the run starts",
        ),
        Entry("ORION_TAG_SLOT_WAIT_SECONDS", "how long a task run waits before it asks for a slot again"),
        Entry(
            "ORION_BROKER_URL",
            "the broker through which agents are notified of due runs",
            read=_address_without_login("ORION_BROKER_URL"),
            default="a folder in the home",
        ),
        Entry(
            "ORION_TRACES_LINK",
            "the address that shows the trace of a run; `{trace_id}` is replaced by its id",
            default="none",
        ),
        Entry("ORION_BEAT", "whether Celery beat ticks the services"),
    ],
    "Addresses": [
        Entry(
            "ORION_EXTERNAL_URL",
            "where people and programs reach the server; links in messages begin with it",
            default="where the server listens",
        ),
        Entry(
            "ORION_TRUSTED_PROXIES",
            "proxies whose headers about client addresses and schemes are trusted",
            read=lambda: [str(one) for one in settings.ORION_TRUSTED_PROXIES],
        ),
        Entry("ORION_ALLOWED_HOSTS", "further host names that requests may be addressed to", read=_further_hosts),
        Entry("ORION_BASE_PATH", "the path below which the server is served", read=lambda: settings.FORCE_SCRIPT_NAME),
        Entry("ORION_WEBHOOK_ALLOW", "private hosts that notifications and automations may call"),
    ],
    "Server": [
        Entry(
            "ORION_LOCAL_OWNER",
            "who owns the server without a key: its Unix user, anyone with the token, or anyone on its machine",
            read=owner_by,
            default="`user` on Linux, else `token`",
        ),
        Entry("ORION_SERVER_WORKERS", "processes that answer requests, unless the command sets another number"),
        Entry(
            "ORION_SERVER_THREADS",
            "threads of each of two pools, for reports of running work and for everything else; long answers, such as "
            "files, have 8 more",
        ),
        Entry(
            "ORION_SERVER_MAX_IN_FLIGHT", "requests that a pool works on or queues; further ones are answered with 503"
        ),
        Entry("ORION_SERVER_MAX_SOCKETS", "websockets of programs that are open at a time"),
        Entry("ORION_SERVER_MAX_PAGES", "pages that are updated through a live connection at a time; others poll"),
        Entry(
            "ORION_CHANNEL_LAYER",
            "how consumers of websockets reach each other: in this process, or through Redis",
            read=_address_without_login("ORION_CHANNEL_LAYER"),
        ),
        Entry(
            "ORION_SERVER_LOG_LEVEL",
            "the lowest level that the server logs",
            read=lambda: env_str("ORION_SERVER_LOG_LEVEL") or "WARNING",
        ),
        Entry("ORION_LOG_FORMAT", "text for people, or json: one object a line"),
        Entry("ORION_DEBUG", "Django's debug pages", read=lambda: settings.DEBUG),
    ],
    "Single sign-on": [
        Entry("ORION_OIDC_ISSUER", "the OpenID Connect provider through which people sign in"),
        Entry("ORION_OIDC_CLIENT_ID", "the client ID of this server at the provider"),
        Entry("ORION_OIDC_CLIENT_SECRET", "the client secret of this server at the provider", is_secret=True),
        Entry("ORION_OIDC_NAME", "the name of the provider on the sign-in page", default="your organisation"),
        Entry("ORION_OIDC_SCOPE", "the scopes that are requested from the provider", default="`openid profile`"),
        Entry("ORION_OIDC_GROUPS_CLAIM", "the claim that lists the groups of a user"),
        Entry(
            "ORION_OIDC_GROUPS",
            "maps groups of the provider to groups here; users join groups of admins only through this setting",
            default="none",
        ),
    ],
    "Limits of the API": [
        Entry("ORION_API_DEFAULT_LIMIT", "the number of objects in a page of the API, by default and at most"),
        Entry(
            "ORION_API_REQUESTS_PER_SECOND",
            "how many requests per second one key or session may send on average; 0: any number",
        ),
        Entry("ORION_API_BURST", "how many requests it may send at once after a pause"),
        Entry(
            "ORION_API_MAX_BODY_BYTES",
            "the largest body of a request",
            read=lambda: settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
        ),
        Entry(
            "ORION_API_MAX_FIELD_BYTES",
            "the largest free JSON in one field: parameters, a context, a variable, all filters of a saved search",
        ),
        Entry("ORION_API_MAX_ARTIFACT_BYTES", "the largest data, or description, of an artifact"),
        Entry("ORION_API_MAX_JSON_NODES", "how many JSON values a body may contain"),
        Entry("ORION_API_LIST_FIELD_BYTES", "the largest field that lists show; a note replaces larger ones"),
    ],
    "Database and secrets": [
        Entry(
            "ORION_HOME",
            "where the database and the secret key are",
            read=lambda: str(orion_home()),
            default=HOME,
        ),
        Entry(
            "ORION_HOME_OWNERS",
            "ids of other Unix users whose files in the home are trusted, separated by commas; root and the server's "
            "own user always are",
        ),
        Entry("ORION_DATABASE_URL", "SQLite or PostgreSQL", read=database_words, default="a SQLite file in the home"),
        Entry(
            "ORION_DATABASE_REPLICA_URL",
            "a read replica of that PostgreSQL database, for lists, charts and exports",
            read=replica_words,
            default="none",
        ),
        Entry("ORION_DATABASE_REPLICA_MAX_LAG_SECONDS", "how far behind a replica may be; beyond that it is not read"),
        Entry("ORION_DATABASE_POOL_SIZE", "connections of each process to PostgreSQL", read=_pool_size, default="`20`"),
        Entry(
            "ORION_DATABASE_PREPARED_STATEMENTS",
            "false for PostgreSQL behind a pooler that assigns connections per transaction",
            read=lambda: env_str("ORION_DATABASE_PREPARED_STATEMENTS") or "true",
        ),
        Entry(
            "ORION_SQLITE_SYNCHRONOUS",
            "with FULL, every commit survives a power failure",
            read=lambda: env_str("ORION_SQLITE_SYNCHRONOUS") or "NORMAL",
        ),
        Entry(
            "ORION_SECRET_KEY",
            "the key that signs sessions and forms",
            is_secret=True,
            file="secret-key",
            default=HOMES_FILE,
        ),
        Entry(
            "ORION_ENCRYPTION_KEYS",
            "the keys that encrypt the secrets of blocks",
            is_secret=True,
            file="encryption-key",
            default=HOMES_FILE,
        ),
    ],
}


@dataclass(frozen=True, slots=True)
class Line:
    """A setting with its present value."""

    entry: Entry
    value: str
    source: str
    is_changeable: bool
    changed: ChangedSetting | None = None
    # The value without that change.
    was: str = ""


def setting_lines() -> Mapping[str, Sequence[Line]]:
    changed = {one.name: one for one in ChangedSetting.objects.all()}
    return {
        subject: [_line(entry, changed.get(entry.name)) for entry in entries] for subject, entries in CATALOGUE.items()
    }


def setting_values() -> dict[str, Any]:
    """Return the settings that programs may read, without secrets."""
    changed = {one.name: one.value for one in ChangedSetting.objects.all()}
    entries = [entry for entries in CATALOGUE.values() for entry in entries if not entry.is_secret]
    return {entry.name: changed.get(entry.name, _value(entry)) for entry in entries}


def _line(entry: Entry, changed: ChangedSetting | None) -> Line:
    is_changeable = entry.name in CHANGEABLE
    source = _source(entry)
    value = _words(_value(entry)) if not entry.is_secret else HIDDEN if source != "default" else "made when needed"
    if changed and is_changeable:
        return Line(entry, _words(changed.value), "changed here", True, changed, was=f"{value} ({source})")
    return Line(entry, value, source, is_changeable)


def default_words(entry: Entry) -> str:
    """Return the default as text, for a program in whose environment nothing is set."""
    match _value(entry) if not entry.is_secret else None:
        case bool() as value:
            return "`true`" if value else "`false`"
        case value:
            words = _words(value)
            return words if words == "none" else f"`{words}`"


def _source(entry: Entry) -> str:
    if os.environ.get(entry.name, "").strip():
        return "environment"
    return "file" if entry.file and (orion_home() / entry.file).exists() else "default"


def _value(entry: Entry) -> Any:
    return entry.read() if entry.read else getattr(settings, entry.name)


def _words(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case None | "" | []:
            return "none"
        case list():
            return ", ".join(str(one) for one in value)
        case float():
            return f"{value:g}"
    return str(value)
