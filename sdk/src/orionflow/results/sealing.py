"""Seals of stored results: a result that runs code when it is read is only read if a holder of our key wrote it there.

A sealed result consists of a mark, the seal and the bytes. The seal is an HMAC-SHA256 with the installation's key over
the store, the storage key, the serializer and the bytes. The seal of a file that was moved, swapped, truncated or read
with another serializer is not valid.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath

from orionflow.contract.masking import known
from orionflow.contract.seals import MARK, SEAL_BYTES, is_sealed
from orionflow.errors import UntrustedResult
from orionflow.private_files import private_key
from orionflow.settings import Settings, current_settings

KEY_FILE = "results-key"
_RUN_IT_AGAIN = "run the task again with refresh_cache=True."


def sealed(content: bytes, *, where: str, key: str, kind: str) -> bytes:
    """Return the content with its seal in front."""
    return b"".join((MARK, _seal(next(_keys(current_settings())), where, key, kind, content), content))


def unsealed(content: bytes, *, where: str, key: str, kind: str) -> bytes:
    """Return the content behind its seal. Raise UntrustedResult if it has none, or not ours for this place and kind."""
    if not is_sealed(content):
        raise UntrustedResult(
            f"The stored result {key!r} in {where} has no seal, so it is not opened: reading it as {kind} runs what "
            f"its writer put there. If it was stored before results were sealed, `orion result seal` seals what you "
            f"trust; or {_RUN_IT_AGAIN}"
        )
    start = len(MARK) + SEAL_BYTES
    seal, inner = content[len(MARK) : start], content[start:]
    if not any(hmac.compare_digest(seal, _seal(one, where, key, kind, inner)) for one in _keys(current_settings())):
        raise UntrustedResult(
            f"The seal of the stored result {key!r} in {where} is not ours: it was sealed with another key, or changed "
            f"or moved since. Machines that share results need the same ORION_RESULTS_KEY; or {_RUN_IT_AGAIN}"
        )
    return inner


def is_ours(content: bytes, *, where: str, key: str, kind: str) -> bool:
    """Whether our key sealed this content for this place. Without a key, the installation has sealed nothing."""
    settings = current_settings()
    if not (settings.results_key or (settings.home / KEY_FILE).exists()):
        return False
    try:
        unsealed(content, where=where, key=key, kind=kind)
    except UntrustedResult:
        return False
    return True


def _seal(our: bytes, where: str, key: str, kind: str, content: bytes) -> bytes:
    # Normalize the path, because a reference may contain either of two spellings of one file.
    names = [part.encode("utf-8", "surrogatepass") for part in (where, normpath(key), kind)]
    digest = hmac.new(our, b"".join(len(name).to_bytes(8) + name for name in names), "sha256")
    digest.update(content)
    return digest.digest()


def _keys(settings: Settings) -> Iterator[bytes]:
    """Yield ORION_RESULTS_KEY and the key in the home: the first one seals, and seals of both are accepted."""
    path = settings.home / KEY_FILE
    if settings.results_key:
        # Lets logs mask the key.
        known.learn((settings.results_key,))
        yield settings.results_key.encode()
        if not path.exists():
            return
    yield _key_in(path)


_known: dict[Path, bytes] = {}


def _key_in(path: Path) -> bytes:
    # The file is read once, because it is never changed after it was created.
    if (key := _known.get(path)) is None:
        key = _known[path] = private_key(path)
    return key
