"""Seals in front of stored results, and digests by which references know what was stored."""

from __future__ import annotations

from hashlib import blake2b

# No JSON, pickle or compressed text starts so.
MARK = b"\x00orion sealed 1\n"
SEAL_BYTES = 32


def is_sealed(content: bytes) -> bool:
    """Whether a seal stands in front, whosever it is."""
    return content.startswith(MARK)


def without_seal(content: bytes) -> bytes:
    """Return the content behind a seal that is not looked at."""
    return content[len(MARK) + SEAL_BYTES :] if is_sealed(content) else content


def digest_of_content(content: bytes) -> str:
    """Return the digest of stored bytes; sealing them, or doing so again, does not change it."""
    return blake2b(without_seal(content), digest_size=16).hexdigest()
