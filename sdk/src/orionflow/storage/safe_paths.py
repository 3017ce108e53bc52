"""Paths within fetched code, which stay inside it whatever a deployment, a repository or a link says."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from orionflow.errors import CodeUnavailable


def checked_part(part: str, what: str) -> str:
    """Return a relative path that stays inside; raise CodeUnavailable for any other."""
    pieces = PurePosixPath(part.replace("\\", "/"))
    # What begins with a hyphen could become an option of a program that fetches code.
    if pieces.is_absolute() or ".." in pieces.parts or "\x00" in part or part.startswith("-"):
        raise CodeUnavailable(
            f"{what} {part!r} leads out of the code that was fetched; name a folder inside, as src/app."
        )
    return part


def inside(folder: Path, part: str | None, what: str) -> Path:
    """Return an existing path below a folder, with links resolved."""
    if part is None:
        return folder
    # The repository may contain links that lead elsewhere, so the text of the path alone proves nothing.
    found = (folder / checked_part(part, what)).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise CodeUnavailable(f"{what} {part!r} leads out of the code that was fetched, by a link.")
    if not found.exists():
        raise CodeUnavailable(f"{what} {part!r} is not in the code that was fetched.")
    return found


def existing_folder(path: str | Path, what: str) -> Path:
    """Return an existing folder on this machine, as an absolute path."""
    text = str(path)
    if "\x00" in text:
        raise CodeUnavailable(f"{what} {text!r} is not a path.")
    found = Path(text).expanduser()
    if not found.is_dir():
        from socket import gethostname

        raise CodeUnavailable(
            f"{what} {text!r} is not there on {gethostname()}. Deploy with a storage that this machine can reach, "
            "such as GitRepository, or run an agent where the code is."
        )
    return found.resolve()
