"""The vault: seals what is secret with the keys of this installation, and opens it again.

Keys come from ORION_ENCRYPTION_KEYS, else from a file in ORION_HOME that is made when something is first sealed. The
first key seals and all of them open, so that keys can be changed while old seals stay readable.
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
except ImportError:  # Windows: there, two rotations at once must not be begun.
    fcntl = None  # type: ignore[assignment]


# So long a process may take from writing a key file to putting it in its place.
SCRATCH_SECONDS = 60.0


class Unopenable(Exception):
    """None of the keys fits."""


def seal(content: Mapping[str, Any]) -> str:
    return MultiFernet(_fernets(_keys() or _create_keys())).encrypt(to_json(content)).decode()


def open_sealed(sealed: str) -> dict[str, Any]:
    keys = _keys()
    if not keys:
        raise Unopenable
    try:
        content: dict[str, Any] = from_json(MultiFernet(_fernets(keys)).decrypt(sealed))
    except InvalidToken:
        raise Unopenable from None
    return content


def flaw_of_keys() -> str | None:
    """Why nothing can be sealed or opened with the keys; None if they are keys, or are still to be made."""
    try:
        _fernets(_keys())
    except (ImproperlyConfigured, OSError) as error:
        return str(error)
    return None


def is_sealed_by_first_key(sealed: str) -> bool:
    """Whether it would be sealed alike today."""
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
    """Make the key file, readable by its owner alone; of two processes at once the first one's key stands."""
    path = key_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = _written([Fernet.generate_key().decode()])
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(scratch)
    return _stored()


class KeysOfEnvironment(Exception):
    """The keys are in ORION_ENCRYPTION_KEYS, which only whoever starts the servers can change."""


def add_key() -> None:
    """Put a new key in front of those in the file. Raises KeysOfEnvironment."""
    with _alone_with_keys() as keys:
        _replace([Fernet.generate_key().decode(), *keys])


def retire_keys() -> int:
    """Leave only the first key in the file, and return how many went. Raises KeysOfEnvironment."""
    with _alone_with_keys() as keys:
        if len(keys) > 1:
            _replace(keys[:1])
        return len(keys) - 1


def seconds_since_new_key() -> float:
    """How long the first key of the file is in force beside older ones; for ever where it is alone."""
    return max(0.0, time.time() - key_file().stat().st_mtime) if len(_stored()) > 1 else math.inf


@contextmanager
def _alone_with_keys() -> Iterator[list[str]]:
    """Of two who change the file at once, the second would forget the first one's key, and what was sealed with it."""
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
    """Remove what a process left that was killed before its file was the key file: there are keys in it."""
    for one in key_file().parent.glob(f"{key_file().name}.*"):
        # One that is being made beside us may be gone already.
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
        # What is sealed with a key that a power cut took away is lost.
        os.fsync(file.fileno())
    return scratch
