"""The file in ORION_HOME with the token of this server process, which programs of the owner read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orion_site.accounts.local_token import token_of_this_start
from orionflow.private_files import make_private_folder, private_opener
from orionflow.settings.local_token import token_file


@contextmanager
def token_kept(home: Path, host: str, port: int) -> Iterator[None]:
    """Keep the token in ORION_HOME until the block ends."""
    path, token = token_file(home, host, port), token_of_this_start()
    make_private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(draft, "x", encoding="ascii", opener=private_opener) as file:
        file.write(token)
    os.replace(draft, path)
    try:
        yield
    finally:
        # Another server may have replaced it.
        with suppress(OSError):
            if path.read_text(encoding="ascii") == token:  # nosemgrep: proof-compared-by-equality (both are ours)
                path.unlink()
