"""The source of a flow's code as a user describes it, and as the pull steps that a deployment stores.

Agents check addresses when they fetch the code; here only addresses that could not be displayed are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

OURS = "orionflow.storage."


class SourceKind(StrEnum):
    GIT = "git"
    FOLDER = "folder"
    MODULE = "module"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class CodeSource:
    """A source of one kind; `folder` is the folder in it from which flows are loaded."""

    kind: SourceKind
    address: str
    branch: str = ""
    folder: str = ""
    secret: str = ""

    def pull_steps(self) -> list[dict[str, Any]] | None:
        """Return the pull steps; None for a module, which is installed where the agent runs."""
        match self.kind:
            case SourceKind.MODULE:
                return None
            case SourceKind.FOLDER:
                return [_step("set_working_directory", directory=self.address)]
            case SourceKind.REMOTE:
                return [_step("pull_from_remote_storage", url=self.address, directory=self.folder)]
        token = f"{{{{ prefect.blocks.secret.{self.secret} }}}}" if self.secret else ""
        steps = {"repository": self.address, "branch": self.branch, "directory": self.folder, "access_token": token}
        return [_step("git_clone", **steps)]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a run that finds the flows there."""
        if self.kind is SourceKind.MODULE:
            return {"module": self.address}
        return {"pull_steps": self.pull_steps()}


def source_of(parameters: dict[str, Any]) -> CodeSource | None:
    """Read the source from the parameters of such a run; None if they have another form."""
    match parameters:
        case {"module": str(name)}:
            return CodeSource(SourceKind.MODULE, name)
        case {"pull_steps": [{"orionflow.storage.set_working_directory": {"directory": str(folder)}}]}:
            return CodeSource(SourceKind.FOLDER, folder)
        case {"pull_steps": [{"orionflow.storage.pull_from_remote_storage": {"url": str(url), **more}}]}:
            return CodeSource(SourceKind.REMOTE, url, folder=str(more.get("directory") or ""))
        case {"pull_steps": [{"orionflow.storage.git_clone": {"repository": str(url), **more}}]}:
            token = str(more.get("access_token") or "")
            secret = token.removeprefix("{{ prefect.blocks.secret.").removesuffix(" }}")
            folder, branch = (str(more.get(name) or "") for name in ("directory", "branch"))
            return CodeSource(SourceKind.GIT, url, branch, folder, secret if secret != token else "")
    return None


def _step(name: str, **arguments: str) -> dict[str, Any]:
    return {f"{OURS}{name}": {key: value for key, value in arguments.items() if value}}
