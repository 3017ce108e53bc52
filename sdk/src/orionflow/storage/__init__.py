"""Where the code of deployed flows is stored, and how it is fetched to the machine that runs it.

An agent's child calls `fetch` before it loads the flow: it executes the deployment's pull steps and returns the folder
for the entry point. Every failure raises CodeUnavailable with the cause.
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

    `deployment` is the API's object (`pull_steps`, `path`). `into` is an empty folder of this run, which may be deleted
    when the run has ended. `timeout_seconds` applies to each step.
    """
    steps = deployment.get("pull_steps")
    if not steps:
        return existing_folder(deployment.get("path") or ".", "The folder of the deployment")
    from orionflow.storage.steps import Pull

    pull = Pull(into, timeout_seconds)
    for step in steps:
        pull.do(step)
    return pull.folder
