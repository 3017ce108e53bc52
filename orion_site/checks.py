"""System checks of combinations of settings, run by `manage.py check` and when the server starts."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError

from orion_site.accounts.guard import LOOPBACK_HOSTS
from orion_site.env import READ_VARIABLES, REDIS_SCHEMES
from orionflow.settings import environment_name, settings_table
from orionflow.settings.misspelt import misspelt_variables

SHORTEST_KEY = 32
# Values that example files and tutorials have in place of a secret.
PLACEHOLDERS = frozenset({"changeme", "changethis", "replaceme", "password", "secret", "secretkey", "yoursecretkey"})
HEARTBEATS_IN_A_LEASE = 4


@register("orion")
def check_debug(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    foreign = sorted(set(settings.ALLOWED_HOSTS) - LOOPBACK_HOSTS)
    if not settings.DEBUG or not foreign:
        return []
    return [
        Error(
            f"ORION_DEBUG shows source code and settings, and ORION_ALLOWED_HOSTS lets {', '.join(foreign)} in.",
            hint="Unset one of the two.",
            id="orion.E001",
        )
    ]


@register("orion")
def check_replica(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if "replica" not in settings.DATABASES or "postgresql" in settings.DATABASES["default"]["ENGINE"]:
        return []
    return [
        Error(
            "ORION_DATABASE_REPLICA_URL names a replica, and ORION_DATABASE_URL no PostgreSQL that could have one.",
            hint="Unset one of the two, or set both to PostgreSQL.",
            id="orion.E013",
        )
    ]


@register("orion")
def check_base_path(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    path = settings.FORCE_SCRIPT_NAME
    if not path or (path.startswith("/") and not path.endswith("/") and "//" not in path):
        return []
    return [
        Error(
            f"ORION_BASE_PATH={path!r} is not a path below which the server can be found.",
            hint="Write it like /orion: a slash in front and none at the end.",
            id="orion.E002",
        )
    ]


@register("orion")
def check_placeholders(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Report placeholders of example files: anyone can forge a session that is signed with one."""
    password = settings.DATABASES["default"].get("PASSWORD") or ""
    secrets = [
        ("ORION_SECRET_KEY", [settings.SECRET_KEY]),
        ("ORION_ENCRYPTION_KEYS", settings.ORION_ENCRYPTION_KEYS),
        ("The password in ORION_DATABASE_URL", [password] if is_placeholder(password, {"changeme"}) else []),
    ]
    return [
        Error(
            f"{name} is still the placeholder of an example file.",
            hint="Make a secret of your own; deploy/systemd/orion.env says how.",
            id="orion.E004",
        )
        for name, values in secrets
        if any(map(is_placeholder, values))
    ]


def is_placeholder(value: str, known: Set[str] = PLACEHOLDERS) -> bool:
    return "".join(filter(str.isalnum, value)).lower() in known


@register("orion")
def check_secret_key(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if len(settings.SECRET_KEY) >= SHORTEST_KEY:
        return []
    return [
        Error(
            f"ORION_SECRET_KEY is shorter than {SHORTEST_KEY} characters: sessions signed with it can be forged.",
            hint="Unset it, and Orion makes a key of its own in ORION_HOME.",
            id="orion.E010",
        )
    ]


@register("orion")
def check_shared_keys(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if "postgresql" not in settings.DATABASES["default"]["ENGINE"] or settings.ORION_ENCRYPTION_KEYS:
        return []
    return [
        Warning(
            "ORION_ENCRYPTION_KEYS is not set, so secrets are sealed with a key of this machine's ORION_HOME.",
            hint="Set it, and ORION_SECRET_KEY, to the same on every server of this database.",
            id="orion.W002",
        )
    ]


@register("orion")
def check_encryption_keys(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Report invalid keys at the start, rather than when a secret is read."""
    from deployments.blocks.services.encryption import flaw_of_keys

    flaw = flaw_of_keys()
    if flaw is None:
        return []
    return [
        Error(
            flaw,
            hint="Make one: `openssl rand -base64 32 | tr +/ -_`.",
            id="orion.E005",
        )
    ]


@register("orion")
def check_misspelt(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    known = {*READ_VARIABLES, *(environment_name(one.name) for one in settings_table())}
    ours = [variable for variable in os.environ if variable.startswith("ORION_")]
    return [
        Warning(f"{found}.", hint=f"D{meant[1:]}", id="orion.W003") for found, meant in misspelt_variables(ours, known)
    ]


@register("orion")
def check_channel_layer(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    url: str = settings.ORION_CHANNEL_LAYER
    scheme = url.partition("://")[0]
    if scheme in REDIS_SCHEMES and find_spec("channels_redis") is None:
        return [
            Error(
                "ORION_CHANNEL_LAYER names Redis, and the package channels-redis is not installed.",
                hint='Install it: `pip install "orionflow-server[redis]"`.',
                id="orion.E006",
            )
        ]
    if scheme in {*REDIS_SCHEMES, "", "memory"}:
        return []
    return [
        Error(
            # Not the whole URL, which may contain a password.
            f"ORION_CHANNEL_LAYER begins with {scheme!r}, which is unknown.",
            hint="Write memory, or an address like redis://localhost:6379/0.",
            id="orion.E007",
        )
    ]


@register("orion")
def check_local_owner(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    from orion_site.http.peers import can_identify_users

    if settings.ORION_LOCAL_OWNER == "anyone":
        return [
            Warning(
                "ORION_LOCAL_OWNER=anyone: every user of this machine can read everything and run code as you here.",
                hint="Unset it where others have an account.",
                id="orion.W004",
            )
        ]
    if settings.ORION_LOCAL_OWNER == "user" and not can_identify_users():
        return [
            Error(
                "ORION_LOCAL_OWNER=user: here the kernel does not say which Unix user a connection is from.",
                hint="Unset it.",
                id="orion.E008",
            )
        ]
    return []


@register("orion")
def check_sign_on(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    issuer = settings.ORION_OIDC_ISSUER
    if not issuer:
        return []
    parts = urlsplit(issuer)
    wrong = [
        (
            parts.scheme != "https"
            and f"[{parts.hostname}]" not in LOOPBACK_HOSTS
            and parts.hostname not in LOOPBACK_HOSTS,
            "ORION_OIDC_ISSUER must begin with https://: an attacker on the network could sign in as any user.",
            "Write the issuer as the provider's /.well-known/openid-configuration does.",
        ),
        (
            not settings.ORION_OIDC_CLIENT_ID or not settings.ORION_OIDC_CLIENT_SECRET,
            "ORION_OIDC_ISSUER is set, and ORION_OIDC_CLIENT_ID or ORION_OIDC_CLIENT_SECRET is not.",
            "Register Orion at the provider, with the address /login/sso/return, and set both.",
        ),
        (
            find_spec("authlib") is None,
            "ORION_OIDC_ISSUER is set, and the package authlib is not installed.",
            'Install it: `pip install "orionflow-server[sso]"`.',
        ),
    ]
    return [Error(words, hint=hint, id="orion.E009") for is_wrong, words, hint in wrong if is_wrong]


@register("orion", deploy=True)
def check_debug_for_others(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [Error("ORION_DEBUG shows source code and settings.", hint="Unset it.", id="orion.E012")]


@register("orion", deploy=True)
def check_a_user_can_sign_in(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    from orion_site.accounts.local_owner import anybody_can_sign_in

    if not _others_are_expected():
        return []
    try:
        if anybody_can_sign_in():
            return []
    except DatabaseError:
        return [
            Warning(
                "The database does not answer, so it is unknown whether any user can sign in.",
                hint="`orion database check` says why.",
                id="orion.W005",
            )
        ]
    return [
        Warning(
            "This server can be reached from other machines, but no user can sign in.",
            hint="Create a user: `orion user create NAME --role admin`.",
            id="orion.W006",
        )
    ]


@register("orion", deploy=True)
def check_tls(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not _others_are_expected() or settings.ORION_EXTERNAL_URL.startswith("https://"):
        return []
    return [
        Warning(
            "Passwords and keys of others travel to this server without TLS.",
            hint="Put a proxy before it, and set ORION_EXTERNAL_URL=https://….",
            id="orion.W007",
        )
    ]


def _others_are_expected() -> bool:
    return not LOOPBACK_HOSTS.issuperset(settings.ALLOWED_HOSTS)


@register("orion")
def check_leases(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    lease, heartbeat = settings.ORION_LEASE_SECONDS, settings.ORION_HEARTBEAT_SECONDS
    if lease >= HEARTBEATS_IN_A_LEASE * heartbeat:
        return []
    return [
        Error(
            f"ORION_LEASE_SECONDS={lease:g} is too short for ORION_HEARTBEAT_SECONDS={heartbeat:g}: one lost heartbeat "
            "or two would cost agents their runs.",
            hint=f"A lease should last {HEARTBEATS_IN_A_LEASE} heartbeats or more.",
            id="orion.E003",
        )
    ]
