"""The key that signs sessions and forms: from `ORION_SECRET_KEY`, or from a file in ORION_HOME, but never a default.

Without both, a process uses a random key of its own. `orion server start` creates the file.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from orion_site.env import env_str, orion_home
from orionflow.private_files import make_private_folder


def secret_key() -> str:
    return env_str("ORION_SECRET_KEY") or _stored() or secrets.token_urlsafe(48)


def create_secret_key() -> Path:
    """Create the key file, readable by its owner only, unless it exists.

    Servers that start at once agree on one key.
    """
    path = secret_key_path()
    make_private_folder(path.parent)
    if not _stored():
        descriptor, scratch = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        _publish(Path(scratch), path)
    return path


def secret_key_path() -> Path:
    return orion_home() / "secret-key"


def _publish(scratch: Path, path: Path) -> None:
    try:
        if not path.read_text().strip():  # left by a full disk
            path.unlink()
    except FileNotFoundError:
        pass
    try:
        # A link, not a rename: of two servers that start at once, the key of the first one remains.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def _stored() -> str:
    try:
        return secret_key_path().read_text().strip()
    except OSError:
        return ""
