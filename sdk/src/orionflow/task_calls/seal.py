"""Sealed bytes: what is not sealed with our key is never unpickled."""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path

from orionflow.errors import UsageError
from orionflow.private_files import make_private_folder
from orionflow.settings import current_settings

Sealed = dict[str, str]


class BrokenSeal(UsageError):
    """A message was sealed with another key, or changed on its way."""


def seal(key: bytes, purpose: str, content: bytes) -> Sealed:
    """The content as JSON can carry it. `purpose` ties it to one call, so that it cannot be used for another."""
    return {"content": b64encode(content).decode(), "seal": _mark(key, purpose, content)}


def unseal(key: bytes, purpose: str, sealed: Sealed) -> bytes:
    """Raises BrokenSeal."""
    content = b64decode(sealed["content"])
    if not hmac.compare_digest(_mark(key, purpose, content), sealed["seal"]):
        raise BrokenSeal(
            "A task call was sealed with another key. Give the flow and the task workers the same ORION_TASK_KEY."
        )
    return content


def _mark(key: bytes, purpose: str, content: bytes) -> str:
    return hmac.new(key, purpose.encode() + b"\0" + content, "sha256").hexdigest()


def task_key() -> bytes:
    """ORION_TASK_KEY, else the key in the home, which is made when it is first needed."""
    if given := current_settings().task_key:
        return given.encode()
    path = current_settings().home / "task-key"
    if not path.exists():
        _publish(path, secrets.token_urlsafe(48))
    return path.read_bytes()


def _publish(path: Path, key: str) -> None:
    make_private_folder(path.parent)
    # Made readable by its owner alone, and whole before it has its name: of two that begin at once the first stands.
    descriptor, scratch = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
