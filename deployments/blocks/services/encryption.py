"""Secrets, sealed with the keys of this installation and opened again.

Keys come from ORION_ENCRYPTION_KEYS, or else from a file in ORION_HOME that is created when something is first sealed.
The first key seals, and every key opens, so that keys can be rotated while old seals stay readable.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from pydantic_core import from_json, to_json

try:
    import fcntl
except ImportError:  # Windows has no such lock: do not run two rotations at once.
    fcntl = None  # type: ignore[assignment]


# Seconds that a process may take from writing a key file until it moves it to its final place.
SCRATCH_SECONDS = 60.0


class Unopenable(Exception):
    """None of the keys opens the seal."""


class KeysOfEnvironment(Exception):
    """The keys are in ORION_ENCRYPTION_KEYS, which only the operator of the servers can change."""


def seal(content: Mapping[str, Any]) -> str:
    """Seal with the first key; create a key if there is none."""
    return MultiFernet(_fernets(_keys() or _create_keys())).encrypt(to_json(content)).decode()


def open_sealed(sealed: str) -> dict[str, Any]:
    """Return the content of a seal. Raises Unopenable."""
    keys = _keys()
    if not keys:
        raise Unopenable
    try:
        content: dict[str, Any] = from_json(MultiFernet(_fernets(keys)).decrypt(sealed))
    except InvalidToken:
        raise Unopenable from None
    return content


def flaw_of_keys() -> str | None:
    """Return why the keys cannot be used; None if they are valid, or not created yet."""
    try:
        _fernets(_keys())
    except (ImproperlyConfigured, OSError) as error:
        return str(error)
    return None


def is_sealed_by_first_key(sealed: str) -> bool:
    """Whether the first key sealed it, so that it need not be sealed again."""
    first = _fernets(_keys()[:1])
    try:
        return bool(first) and first[0].decrypt(sealed) is not None
    except InvalidToken:
        return False


def key_file() -> Path:
    return Path(settings.ORION_ENCRYPTION_KEY_FILE)


def _keys() -> list[str]:
    return settings.ORION_ENCRYPTION_KEYS or _stored()


def _stored() -> list[str]:
    try:
        return key_file().read_text().split()
    except FileNotFoundError:
        return []


def _fernets(keys: list[str]) -> list[Fernet]:
    try:
        return [Fernet(key) for key in keys]
    except ValueError:
        place = "ORION_ENCRYPTION_KEYS" if settings.ORION_ENCRYPTION_KEYS else str(key_file())
        raise ImproperlyConfigured(f"{place} holds a key that is not 32 bytes in URL-safe base64.") from None


def _create_keys() -> list[str]:
    """Create the key file, readable by its owner only. Of two processes at once, the first one's key is kept."""
    path = key_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = _written([Fernet.generate_key().decode()])
    try:
        # Unlike a rename, this fails if the file exists.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
    return _stored()


def add_key() -> None:
    """Put a new key in front of those in the file. Raises KeysOfEnvironment."""
    with _alone_with_keys() as keys:
        _replace([Fernet.generate_key().decode(), *keys])


def retire_keys() -> int:
    """Leave only the first key in the file, and return the number of removed keys. Raises KeysOfEnvironment."""
    with _alone_with_keys() as keys:
        if len(keys) > 1:
            _replace(keys[:1])
        return len(keys) - 1


def seconds_since_new_key() -> float:
    """Return how long the first key of the file has been in use; infinite if it is the only one."""
    return max(0.0, time.time() - key_file().stat().st_mtime) if len(_stored()) > 1 else math.inf


@contextmanager
def _alone_with_keys() -> Iterator[list[str]]:
    """Lock the key file. Otherwise the second of two changes would lose the first one's key, and what it sealed."""
    if settings.ORION_ENCRYPTION_KEYS:
        raise KeysOfEnvironment
    path = key_file()
    if not _stored():
        _create_keys()
    with open(path.with_name(f"{path.name}.lock"), "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_scratch()
        yield _stored()


def _remove_scratch() -> None:
    """Remove temporary files of processes that were killed before they replaced the key file: they contain keys."""
    for one in key_file().parent.glob(f"{key_file().name}.*"):
        # Another process may have removed it meanwhile.
        with suppress(FileNotFoundError):
            if one.suffix != ".lock" and one.stat().st_mtime < time.time() - SCRATCH_SECONDS:
                one.unlink()


def _replace(keys: list[str]) -> None:
    os.replace(_written(keys), key_file())


def _written(keys: list[str]) -> str:
    path = key_file()
    descriptor, scratch = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        # A key must survive a power failure, because everything sealed with it would be lost otherwise.
        os.fsync(file.fileno())
    return scratch
