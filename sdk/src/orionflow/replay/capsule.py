"""The file of a capsule: a zip file whose manifest names every other member with its size and digest.

A capsule may come from any source. Reading it does not unpack, import or unpickle anything: the names, kinds, sizes and
digests of its members are checked first, and members that are too large are not read to their end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from orionflow.errors import OrionError
from orionflow.private_files import make_private_folder, private_opener

FORMAT = "orion-capsule"
VERSION = 1
SUFFIX = ".orion"
MANIFEST, RUNS, LOGS = "manifest.json", "runs.json", "logs.jsonl"
CODE, RESULTS = "code/", "results/"

MEGABYTE = 1024 * 1024
# Limits for any capsule.
MOST_MEMBERS = 20_000
LARGEST_FILE = 512 * MEGABYTE
LARGEST_CONTENT = 1024 * MEGABYTE
LARGEST_JSON = 64 * MEGABYTE
LARGEST_DIRECTORY = 16 * MEGABYTE
_CHUNK = 256 * 1024
# Plain names only: no drive, no parent folder, no character with a meaning for a file system or a terminal.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=-]{0,199}")
_RESULT = re.compile(r"results/[0-9a-f]{8,64}\.bin")
_DEPTH = 12
# The end-of-directory record of a zip file.
_END = struct.Struct("<4s4H2LH")


class BadCapsule(OrionError):
    """The file is not a capsule, or its content does not match its manifest."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the manifest describes it."""

    size: int
    sha256: str


class Writing:
    """A capsule that is being written. Members are written one by one; the manifest closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._members: dict[str, dict[str, Any]] = {}
        self.size = 0

    def add(self, name: str, content: bytes) -> None:
        check_name(name)
        self._zip.writestr(_entry(name), content)
        self._members[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.size += len(content)

    def add_once(self, name: str, content: bytes) -> None:
        """Add a member that is named by its content, unless it exists."""
        if name not in self._members:
            self.add(name, content)

    def close(self, manifest: Mapping[str, Any]) -> None:
        whole = {"format": FORMAT, "version": VERSION, **manifest, "members": self._members}
        self._zip.writestr(_entry(MANIFEST), as_json(whole))
        self._zip.close()


def _entry(name: str) -> zipfile.ZipInfo:
    # Without times and modes of files, equal content makes equal capsules.
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | 0o600) << 16
    return entry


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "replace")


@dataclass(slots=True)
class Capsule:
    """A checked capsule: every member has the size and the digest that the manifest names."""

    path: Path
    manifest: dict[str, Any]
    runs: dict[str, Any]
    members: Mapping[str, Member] = field(default_factory=dict)

    def read(self, name: str, most: int = LARGEST_CONTENT) -> bytes:
        """Read a member, and compare it with the manifest."""
        if name not in self.members:
            raise BadCapsule(f"The capsule has no member {name!r}.")
        with _opened(self.path) as archive:
            return _checked(archive, name, self.members[name], most)

    @property
    def code_names(self) -> list[str]:
        return sorted(name for name in self.members if name.startswith(CODE))

    def unpack_code(self, folder: Path) -> None:
        """Write the code into an empty folder of ours."""
        self._unpack(CODE, folder)

    def unpack_results(self, folder: Path) -> None:
        """Write the results into an empty folder of ours, as raw bytes."""
        self._unpack(RESULTS, folder)

    def _unpack(self, below: str, folder: Path) -> None:
        make_private_folder(folder)
        root = folder.resolve()
        with _opened(self.path) as archive:
            for name in sorted(name for name in self.members if name.startswith(below)):
                target = root.joinpath(*PurePosixPath(name.removeprefix(below)).parts)
                # A second safeguard, as the name was checked before.
                if not target.resolve().is_relative_to(root):
                    raise BadCapsule(f"{name!r} leads out of the folder of the code.")
                make_private_folder(target.parent)
                content = _checked(archive, name, self.members[name], LARGEST_CONTENT)
                with open(target, "xb", opener=private_opener) as file:
                    file.write(content)


def read_capsule(path: Path) -> Capsule:
    """Check a capsule and read its JSON. Raise BadCapsule; nothing of the file is run or unpacked."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadCapsule(f"{path} cannot be read: {error.strerror or error}.") from None
    if not path.is_file():
        raise BadCapsule(f"{path} is not a file.")
    if size > LARGEST_FILE:
        raise BadCapsule(f"{path} has {size // MEGABYTE} MB; the largest capsule that is opened has 512 MB.")
    _check_directory(path)
    with _opened(path) as archive:
        entries = _checked_entries(archive)
        manifest = _manifest(archive, entries)
        members = _members(manifest, entries)
        for name, member in members.items():
            _verify(archive, name, member)
        if RUNS not in members:
            raise BadCapsule(f"The capsule has no {RUNS}.")
        runs = _json(_checked(archive, RUNS, members[RUNS], LARGEST_JSON), RUNS)
    return Capsule(path, manifest, runs, members)


def _check_directory(path: Path) -> None:
    """Refuse a zip file whose list of members is too long: Python reads all of it at once."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END.size))
        last = file.read()
    # A capsule ends exactly so: without a comment, and with numbers that need no 64-bit format.
    if len(last) != _END.size or not last.startswith(b"PK\x05\x06"):
        raise BadCapsule(f"{path} is not a capsule.")
    _, _, _, _, members, size, _, comment = _END.unpack(last)
    if comment or members > MOST_MEMBERS + 1 or size > LARGEST_DIRECTORY:
        raise BadCapsule(f"{path} is not a capsule: it has more members, or longer names, than capsules have.")


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadCapsule(f"{path} is not a capsule: {error}.") from None


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    if len(found) > MOST_MEMBERS:
        raise BadCapsule(f"The capsule has {len(found)} members; {MOST_MEMBERS} are the most.")
    entries: dict[str, zipfile.ZipInfo] = {}
    # Some file systems treat two names that differ in case as one.
    seen: set[str] = set()
    for entry in found:
        check_name(entry.filename)
        if entry.filename.casefold() in seen:
            raise BadCapsule(f"The capsule has {entry.filename!r} twice.")
        seen.add(entry.filename.casefold())
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BadCapsule(f"{entry.filename!r} is not a plain file.")
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadCapsule(f"{entry.filename!r} is encrypted, or packed in a way that capsules are not.")
        entries[entry.filename] = entry
    if sum(entry.file_size for entry in found) > LARGEST_CONTENT:
        raise BadCapsule("The content of the capsule is larger than 1 GB.")
    return entries


def check_name(name: str) -> None:
    """Refuse a name that Orion does not write: it must be a plain relative path below a folder of capsules."""
    parts = name.split("/")
    known = name in (MANIFEST, RUNS, LOGS) or _RESULT.fullmatch(name)
    if not known and not (name.startswith(CODE) and 2 <= len(parts) <= _DEPTH):
        raise BadCapsule(f"The capsule has a member that capsules do not have: {name!r}.")
    if not all(_PART.fullmatch(part) and not part.endswith(".") for part in parts):
        raise BadCapsule(f"The capsule has a member whose name is not a plain one: {name!r}.")


def _manifest(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Any]:
    if MANIFEST not in entries:
        raise BadCapsule(f"The file has no {MANIFEST}, so it is not a capsule.")
    declared = entries[MANIFEST].file_size
    manifest = _json(_bounded(archive, MANIFEST, declared, LARGEST_JSON), MANIFEST)
    if manifest.get("format") != FORMAT:
        raise BadCapsule("The file is not a capsule of Orion.")
    if manifest.get("version") != VERSION:
        raise BadCapsule(
            f"The capsule has version {str(manifest.get('version'))[:20]} of the format; this Orion reads version "
            f"{VERSION}. Use the version of Orion that made it, {str(manifest.get('orion'))[:40]}."
        )
    return manifest


def _members(manifest: Mapping[str, Any], entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, Member]:
    listed = manifest.get("members")
    if not isinstance(listed, dict):
        raise BadCapsule("The manifest lists no members.")
    if listed.keys() != entries.keys() - {MANIFEST}:
        raise BadCapsule("The manifest lists other members than the file has.")
    members: dict[str, Member] = {}
    for name, one in listed.items():
        match one:
            case {"size": int(size), "sha256": str(digest)} if size == entries[name].file_size:
                members[name] = Member(size, digest)
            case _:
                raise BadCapsule(f"{name!r} is not as large as the manifest says.")
    return members


def _verify(archive: zipfile.ZipFile, name: str, member: Member) -> None:
    digest, size = hashlib.sha256(), 0
    for part in _parts(archive, name, member.size):
        digest.update(part)
        size += len(part)
    if size != member.size or digest.hexdigest() != member.sha256:
        raise BadCapsule(f"{name!r} is not what the manifest says: its digest differs, so the capsule was changed.")


def _checked(archive: zipfile.ZipFile, name: str, member: Member, most: int) -> bytes:
    content = _bounded(archive, name, member.size, most)
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise BadCapsule(f"{name!r} is not what the manifest says: its digest differs, so the capsule was changed.")
    return content


def _bounded(archive: zipfile.ZipFile, name: str, size: int, most: int) -> bytes:
    if size > most:
        raise BadCapsule(f"{name!r} has {size // MEGABYTE} MB; {most // MEGABYTE} MB are the most.")
    return b"".join(_parts(archive, name, size))


def _parts(archive: zipfile.ZipFile, name: str, size: int) -> Iterator[bytes]:
    """Yield the content in pieces; content beyond the declared size is a zip bomb, and is not unpacked."""
    done = 0
    try:
        with archive.open(name) as file:
            while part := file.read(_CHUNK):
                done += len(part)
                if done > size:
                    raise BadCapsule(f"{name!r} is larger than it says.")
                yield part
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadCapsule(f"{name!r} cannot be unpacked: {error}.") from None


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise BadCapsule(f"{name!r} is not JSON.") from None
    if not isinstance(value, dict):
        raise BadCapsule(f"{name!r} holds no object.")
    return value


def write_private(path: Path, make: Any) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with open(draft, "xb", opener=private_opener) as file:
            make(file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
