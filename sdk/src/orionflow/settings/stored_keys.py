"""API keys that `orion auth login` stores: one for each address of an API, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

from orionflow.errors import SettingsError
from orionflow.private_files import make_private_folder, private_opener

FILE_NAME = "keys.json"
# The token of the run for which a task is called in another process, by which its requests act for that run.
token_of_caller: ContextVar[str | None] = ContextVar("orion_token_of_caller", default=None)


def stored_key(home: Path, api_url: str) -> str | None:
    """Return the key for exactly this address; other hosts, ports and schemes get none."""
    return _read(home).get(same_address(api_url))


def store_key(home: Path, api_url: str, key: str) -> Path:
    return _write(home, {**_read(home), same_address(api_url): key})


def forget_key(home: Path, api_url: str) -> bool:
    """Delete the key for this address, and return whether there was one."""
    keys = _read(home)
    if keys.pop(same_address(api_url), None) is None:
        return False
    _write(home, keys)
    return True


def same_address(api_url: str) -> str:
    """Return an address in a uniform spelling: lower-case host, no trailing slash, no name and password."""
    parts = urlsplit(api_url)
    host = parts.netloc.rpartition("@")[2].lower()
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{host.removesuffix(usual) if usual else host}{parts.path.rstrip('/')}"


def _read(home: Path) -> dict[str, str]:
    path = home / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content.values()):
        raise SettingsError(f"{path} is damaged; delete it and use `orion auth login` again.")
    return content


def _write(home: Path, keys: dict[str, str]) -> Path:
    make_private_folder(home)
    path = home / FILE_NAME
    draft = home / f".{FILE_NAME}.{os.getpid()}"
    # Left by a process that was killed. "x" makes the file new, with its owner's permissions from the first byte.
    draft.unlink(missing_ok=True)
    with open(draft, "x", encoding="utf-8", opener=private_opener) as file:
        json.dump(keys, file, indent=1)
    # In one step: another command reads the old keys or the new ones, never a part.
    os.replace(draft, path)
    return path
