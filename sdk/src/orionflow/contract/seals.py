"""Seals in front of stored results, and digests by which references identify stored content."""

from __future__ import annotations

from hashlib import blake2b

# No JSON, pickle or compressed text starts with these bytes.
MARK = b"\x00orion sealed 1\n"
SEAL_BYTES = 32


def is_sealed(content: bytes) -> bool:
    """Whether the content starts with a seal, of any installation."""
    return content.startswith(MARK)


def without_seal(content: bytes) -> bytes:
    """Return the content behind its seal, without checking the seal."""
    return content[len(MARK) + SEAL_BYTES :] if is_sealed(content) else content


def digest_of_content(content: bytes) -> str:
    """Return the digest of stored bytes; it does not change if they are sealed, or sealed again."""
    return blake2b(without_seal(content), digest_size=16).hexdigest()
