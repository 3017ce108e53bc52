"""ORION_HOME is used only if it belongs to users who are trusted: others could have put keys there that they know."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from orion_site.env import env_list
from orionflow.json_lines import print_line

OWNERS = "ORION_HOME_OWNERS"


class HomeOfOthers(ImproperlyConfigured):
    """ORION_HOME, or a file in it, could be the work of another user; the message says whose, and what to do."""

    # The SDK, which does not import the server, recognises the error by this, and shows the message as it is.
    code = "database_unusable"


def home_owners() -> list[int]:
    """Return the ids of other users whose files in the home are trusted."""
    named = env_list(OWNERS)
    if wrong := [one for one in named if not (one.isascii() and one.isdecimal())]:
        raise ImproperlyConfigured(f"{OWNERS} contains {wrong[0]!r}; write ids of users, as in {OWNERS}=1001,2000.")
    return [int(one) for one in named]


def close_home(home: Path) -> None:
    """Remove the permissions of other users on the home.

    Raises HomeOfOthers if every user may replace its files, and this user cannot change that.
    """
    if not hasattr(os, "geteuid") or not home.is_dir():
        return
    found = home.stat()
    mode = stat.S_IMODE(found.st_mode)
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    is_own = found.st_uid == os.geteuid() or found.st_uid == _owner_of_new_files(home)
    if is_own and not _is_home_directory(home):
        home.chmod(stat.S_IRWXU)
        print_line(
            f"{home} was open to other users of this machine ({mode:04o}); it is its owner's alone now (0700).",
            "orion.server",
        )
    elif mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise HomeOfOthers(
            f"Every user of this machine may write into {home} (its owner: user id {found.st_uid}), and could replace "
            "the keys and the database in it. Set ORION_HOME to a folder of your own."
        )


def refuse_home_of_others(home: Path) -> None:
    """Raise HomeOfOthers if the home, or something in it, belongs to a user who is not trusted.

    This user, root and `ORION_HOME_OWNERS` are trusted. Root also trusts the owner of the home, as with `sudo` and in
    containers. Close the home first: until then, others can add files after this has listed them.
    """
    if not hasattr(os, "geteuid") or _is_home_directory(home):
        return
    try:
        folder = home.stat().st_uid
    except OSError:
        # Missing, or closed to this user: whatever needs it reports that.
        return
    trusted = {0, os.geteuid(), *home_owners()}
    if os.geteuid() == 0:
        trusted.add(folder)
    strangers = [(str(home), folder), *_owners_in(home)]
    strangers = [(path, owner) for path, owner in strangers if owner not in trusted]
    if strangers:
        new = _owner_of_new_files(home)
        for path, owner in strangers:
            if owner != new:
                raise HomeOfOthers(_why_refused(path, owner, home))


def _owners_in(home: Path) -> Iterator[tuple[str, int]]:
    with suppress(PermissionError, NotADirectoryError), os.scandir(home) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            with suppress(FileNotFoundError):
                yield entry.path, entry.stat(follow_symlinks=False).st_uid


def _owner_of_new_files(home: Path) -> int:
    """Return the owner of files that this process creates there, which is another one on NFS that maps users."""
    try:
        with tempfile.TemporaryFile(dir=home, prefix=".owner-") as scratch:
            return os.fstat(scratch.fileno()).st_uid
    except OSError:
        return os.geteuid()


def _is_home_directory(home: Path) -> bool:
    # It contains files of other programs, whose owners are no concern of Orion.
    return str(home) == os.path.expanduser("~")


def _why_refused(path: str, owner: int, home: Path) -> str:
    trusting = f"{OWNERS}={','.join(map(str, [*home_owners(), owner]))}"
    if path == str(home):
        return (
            f"{home} belongs to another user of this machine (user id {owner}), who could choose the keys and the "
            f"database in it. Set ORION_HOME to a folder of your own, or {trusting} if you trust that user."
        )
    taker = os.geteuid() or home.stat().st_uid
    return (
        f"{path} belongs to another user of this machine (user id {owner}), who may have chosen what is in it. "
        f"Remove it, or set {trusting} if you trust that user; root can also take it over: "
        f"chown -hR {taker} {shlex.quote(path)}"
    )
