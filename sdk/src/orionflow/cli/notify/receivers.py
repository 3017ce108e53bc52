"""Receivers of messages: short names for types of blocks, and conversion of one address or key to their fields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click

from orionflow.calls.blocks import BLOCKS
from orionflow.cli.backend import Backend, Json
from orionflow.cli.block import find_block
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import Session
from orionflow.cli.terminal import current_terminal
from orionflow.spelling import did_you_mean

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of receiver: its block type, its identifying text, and the conversion of that to fields."""

    slug: str
    asked_for: str
    fields: Callable[[str], Fields]


def _address(text: str) -> Fields:
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname:
        raise click.UsageError("The address does not begin with http:// or https:// and a host.")
    return {"url": text}


def _discord(text: str) -> Fields:
    """Convert https://discord.com/api/webhooks/ID/TOKEN."""
    parts = urlsplit(text).path.strip("/").split("/")
    if len(parts) < 4 or parts[-3] != "webhooks":
        raise click.UsageError("The address of a Discord webhook ends in /api/webhooks/ID/TOKEN.")
    return {"webhook_id": parts[-2], "webhook_token": parts[-1]}


def _mattermost(text: str) -> Fields:
    """Convert https://chat.example.org/hooks/TOKEN."""
    found = urlsplit(text)
    path, separator, token = found.path.rpartition("/hooks/")
    if not found.hostname or not separator or not token:
        raise click.UsageError("The address of a Mattermost webhook ends in /hooks/TOKEN.")
    more = {"path": path.strip("/"), "port": found.port}
    return {"hostname": found.hostname, "token": token, **{name: value for name, value in more.items() if value}}


KINDS: Mapping[str, Kind] = {
    "slack": Kind("slack-webhook", "Address of the Slack webhook", _address),
    "teams": Kind("ms-teams-webhook", "Address of the Teams workflow or webhook", _address),
    "mail": Kind("sendgrid-email", "Key of SendGrid", lambda text: {"api_key": text}),
    "webhook": Kind("webhook", "Address", _address),
    "discord": Kind("discord-webhook", "Address of the Discord webhook", _discord),
    "mattermost": Kind("mattermost-webhook", "Address of the Mattermost webhook", _mattermost),
    "opsgenie": Kind("opsgenie-webhook", "Key of the Opsgenie integration", lambda text: {"apikey": text}),
    "pagerduty": Kind("pager-duty-webhook", "Integration key of PagerDuty", lambda text: {"integration_key": text}),
    "custom": Kind("custom-webhook", "Address", lambda text: {"url": text}),
}


def kind_of(word: str) -> Kind:
    """Return the kind with this short name, or for this slug of a block type."""
    by_slug = {kind.slug: kind for kind in KINDS.values()}
    found = KINDS.get(word) or by_slug.get(word)
    if found is None:
        hint = did_you_mean(word, [*KINDS, *by_slug], f"there are {', '.join(KINDS)}.")
        raise click.UsageError(f"Messages cannot be sent to {word!r}; {hint}")
    return found


def read_address(kind: Kind) -> str:
    """Read the secret address or key from a prompt or stdin, as the shell's history would keep an argument."""
    if current_terminal().is_interactive:
        asked: str = click.prompt(kind.asked_for, hide_input=True, err=True)
        return asked.strip()
    given = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    if not given:
        raise CommandFailed(
            ExitCode.USAGE, f"{kind.asked_for}: none was given.", fix="give it on stdin, or as an argument"
        )
    return given


def receiver_block(session: Session, wanted: str) -> Json:
    """Find the block `type/name`; refuse a block that cannot receive messages."""
    found = find_block(session, wanted)
    slugs = [kind.slug for kind in KINDS.values()]
    if found["block_type"]["slug"] not in slugs:
        raise CommandFailed(
            ExitCode.USAGE, f"Nothing can be sent to the block {wanted}.",
            f"only blocks of these types take messages: {', '.join(slugs)}",
        )  # fmt: skip
    return found


def block_names(api: Backend, ids: list[str]) -> dict[str, str]:
    """Return `type/name` of blocks by their ids."""
    wanted = sorted(set(ids))
    body = {"block_documents": {"id": {"any_": wanted}, "is_anonymous": None}}
    found = api.pages(BLOCKS, body, None) if wanted else ()
    return {one["id"]: f"{one['block_type']['slug']}/{one['name']}" for one in found}
