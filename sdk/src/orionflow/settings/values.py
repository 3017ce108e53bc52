"""Conversion of a setting's text to its value. Errors are ValueErrors whose message continues after the name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orionflow.private_files import SHORTEST_KEY

YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

Reader = Callable[[str], Any]


def read_text(raw: str) -> str:
    return raw


def read_key(raw: str) -> str:
    if len(raw) < SHORTEST_KEY:
        raise ValueError(f"is too short to seal anything; use {SHORTEST_KEY} characters or more")
    return raw


def read_url(raw: str) -> str:
    if not raw.startswith(("http://", "https://")) or not _names_a_host(raw):
        raise ValueError("is not an http:// or https:// address, such as http://127.0.0.1:4200/api")
    return raw.rstrip("/")


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def shown_url(text: str) -> str:
    """Return the text with name and password removed from an address in it, even if the address is invalid."""
    return re.sub(r"//[^/\s]*@", "//", text)


def read_yes_or_no(raw: str) -> bool:
    if raw.lower() in YES:
        return True
    if raw.lower() in NO:
        return False
    raise ValueError("is not a yes or no; use true or false")


def read_count(raw: str) -> int:
    number = _number(raw, int, "a whole number")
    return int(number)


def read_positive(raw: str) -> int:
    count = read_count(raw)
    if count < 1:
        raise ValueError("is too small; the least is 1")
    return count


def read_seconds(raw: str) -> float:
    return float(_number(raw, float, "a number of seconds"))


def read_path(raw: str) -> Path:
    try:
        return Path(raw).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with ~, and this user has no home; write the whole path") from None


def default_home() -> Path:
    """Return `~/.orion`, or a temporary folder for a user without a home directory, as in many containers."""
    try:
        return Path("~/.orion").expanduser()
    except RuntimeError:
        return _temporary_home()


def _temporary_home() -> Path:
    # Imported here, because few programs need it, and it imports libraries of compression.
    import tempfile

    # nosemgrep: fixed-name-among-temporary-files (it is looked at below)
    folder = Path(tempfile.gettempdir()) / f"orion-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    # Another user may have created a folder of this name.
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if is_ours else Path(tempfile.mkdtemp(prefix="orion-"))


def read_folders(raw: str) -> tuple[str, ...]:
    return tuple(os.path.normpath(read_path(name)) for name in read_names(raw))


def read_level(raw: str) -> int:
    if raw.upper() in LEVELS:
        return LEVELS[raw.upper()]
    if raw.isdigit():
        return int(raw)
    raise ValueError(f"is not a log level; use one of {', '.join(LEVELS)}, or a number")


def read_log_format(raw: str) -> str:
    if raw.lower() in {"text", "json"}:
        return raw.lower()
    raise ValueError("is not a format of logs; use text or json")


def read_names(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in raw.split(",") if name.strip())


def _number(raw: str, kind: type[int] | type[float], what: str) -> Any:
    try:
        number = kind(raw)
    except ValueError:
        raise ValueError(f"is not {what}") from None
    if not 0 <= number < float("inf"):
        raise ValueError("must be zero or more")
    return number


def logging_name(level: int) -> str:
    return next((name for name, number in LEVELS.items() if number == level), str(level))
