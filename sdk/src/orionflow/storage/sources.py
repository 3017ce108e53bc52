"""Sources of code that programs name; each kind becomes the pull steps that a deployment stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from orionflow.errors import UsageError
from orionflow.storage.git import checked_branch, checked_commit, checked_url
from orionflow.storage.safe_paths import checked_part
from orionflow.storage.secrets import Environment, Secret

Step = dict[str, dict[str, Any]]
Credential = Secret | Environment
OURS = "orionflow.storage."


class Storage(Protocol):
    """A place from which code can be fetched."""

    def pull_steps(self) -> list[Step]:
        """Return the steps by which an agent fetches the code."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDirectory:
    """A folder that exists at the same path on every machine that runs the flow.

    - `path`: the folder.
    """

    path: str | Path

    def pull_steps(self) -> list[Step]:
        return [{f"{OURS}set_working_directory": {"directory": str(Path(self.path).expanduser().absolute())}}]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Git:
    branch: str | None = None
    commit: str | None = None
    directory: str | None = None
    include_submodules: bool = False
    token: Credential | None = None
    username: str | None = None


@dataclass(frozen=True, slots=True)
class GitRepository(_Git):
    """A git repository: `GitRepository("https://github.com/us/flows.git", branch="main", token=Secret("github"))`.

    - `url`: its address, with https, ssh, git or file.
    - `branch`, `commit`: the branch or tag, or else the commit (default: the branch that the repository names).
    - `directory`: the folder in it from which the flow is loaded (default: its top).
    - `include_submodules`: with `True`, fetch submodules as well (default: `False`).
    - `token`, `username`: a `Secret("name")` on the server or an `Environment("NAME")` of the agent, and the user that
      it is for. A deployment stores the reference to the token, never the token.

    Raises `UsageError` for an invalid address, branch, commit or folder, and for a token that is a plain text.
    """

    url: str

    def __post_init__(self) -> None:
        checked_url(self.url)
        if self.branch and self.commit:
            raise UsageError("GitRepository takes a branch or a commit, not both.")
        if self.branch:
            checked_branch(self.branch)
        if self.commit:
            checked_commit(self.commit)
        if self.directory:
            checked_part(self.directory, "The folder")
        if self.token is not None and not isinstance(self.token, Credential):
            raise UsageError(
                "GitRepository would store this token for everybody to read; say where it is instead: "
                'token=Secret("github") or token=Environment("GITHUB_TOKEN").'
            )

    def pull_steps(self) -> list[Step]:
        fields = {
            "repository": self.url,
            "branch": self.branch,
            "commit": self.commit,
            "directory": self.directory,
            "include_submodules": self.include_submodules or None,
            "access_token": self.token.reference if self.token else None,
            "username": self.username,
        }
        return [{f"{OURS}git_clone": {name: value for name, value in fields.items() if value is not None}}]


@dataclass(frozen=True, slots=True)
class RemoteStorage:
    """A folder at any address that fsspec supports: `RemoteStorage("s3://bucket/flows")`.

    - `url`: the address.
    - `directory`: the folder in it from which the flow is loaded (default: its top).
    - `options`: for the file system, such as `{"key": Secret("s3-key")}`; secrets and environment variables are looked
      up where the code is fetched.

    Raises `UsageError` for an invalid address or folder.
    """

    url: str
    directory: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "://" not in self.url or self.url.startswith("-"):
            raise UsageError(f"RemoteStorage takes an address such as s3://bucket/flows, not {self.url!r}.")
        if self.directory:
            checked_part(self.directory, "The folder")

    def pull_steps(self) -> list[Step]:
        options = {name: _referred(value) for name, value in self.options.items()}
        place = {} if self.directory is None else {"directory": self.directory}
        return [{f"{OURS}pull_from_remote_storage": {"url": self.url, **place, **options}}]


def _referred(value: Any) -> Any:
    return value.reference if isinstance(value, Credential) else value


def storage_of(source: str | Path | Storage) -> Storage:
    """Return the storage for a source: one of the classes, an address, or a folder."""
    if not isinstance(source, str | Path):
        return source
    text = str(source)
    if isinstance(source, Path) or ("://" not in text and "@" not in text):
        return LocalDirectory(source)
    if text.endswith(".git") or text.startswith(("git@", "git://", "ssh://", "http://", "https://")):
        return GitRepository(text)
    return RemoteStorage(text)
