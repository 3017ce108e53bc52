"""Sealed bytes: content that is not sealed with the own key is never unpickled."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode

from orionflow.errors import UsageError
from orionflow.private_files import private_key
from orionflow.settings import current_settings

Sealed = dict[str, str]


class BrokenSeal(UsageError):
    """A message was sealed with another key, or changed on its way."""


def seal(key: bytes, purpose: str, content: bytes) -> Sealed:
    """Return the content in a form for JSON. `purpose` binds it to one call, so that it cannot be used for another."""
    return {"content": b64encode(content).decode(), "seal": _mark(key, purpose, content)}


def unseal(key: bytes, purpose: str, sealed: Sealed) -> bytes:
    """Return the content. Raise BrokenSeal if the seal is not valid."""
    content = b64decode(sealed["content"])
    if not hmac.compare_digest(_mark(key, purpose, content), sealed["seal"]):
        raise BrokenSeal(
            "A task call was sealed with another key. Give the flow and the task workers the same ORION_TASK_KEY."
        )
    return content


def _mark(key: bytes, purpose: str, content: bytes) -> str:
    return hmac.new(key, purpose.encode() + b"\0" + content, "sha256").hexdigest()


def task_key() -> bytes:
    """Return ORION_TASK_KEY, or else the key in the home, which is created if it does not exist."""
    if given := current_settings().task_key:
        return given.encode()
    return private_key(current_settings().home / "task-key")
