"""Where the code of deployed flows lies, and how it comes to the machine that runs it.

`fetch` is what an agent's child calls before it loads the flow: it carries out the deployment's pull steps and tells
the folder in which the entrypoint is looked for. Whatever goes wrong is one CodeUnavailable with the cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orionflow.storage.safe_paths import existing_folder
from orionflow.storage.secrets import Environment, Secret
from orionflow.storage.sources import GitRepository, LocalDirectory, RemoteStorage, Storage, storage_of

__all__ = [
    "Environment",
    "GitRepository",
    "LocalDirectory",
    "RemoteStorage",
    "Secret",
    "Storage",
    "fetch",
    "storage_of",
]


def fetch(deployment: Mapping[str, Any], into: Path, *, timeout_seconds: float | None = None) -> Path:
    """Return the folder with a deployment's code.

    `deployment` is the API's object (`pull_steps`, `path`); `into` an empty folder that belongs to this run, which may
    be deleted with everything in it when the run has ended; `timeout_seconds` holds for each step.
    """
    steps = deployment.get("pull_steps")
    if not steps:
        return existing_folder(deployment.get("path") or ".", "The folder of the deployment")
    from orionflow.storage.steps import Pull

    pull = Pull(into, timeout_seconds)
    for step in steps:
        pull.do(step)
    return pull.folder
