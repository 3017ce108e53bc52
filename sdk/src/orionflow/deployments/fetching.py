"""Loading of flows whose code is stored elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from orionflow.code.entrypoints import load_fetched_flow
from orionflow.flows import Flow
from orionflow.options.deployable import FetchedFrom
from orionflow.storage import Storage, fetch, storage_of


def fetched_flow(source: str | Path | Storage, entrypoint: str) -> Flow[..., Any]:
    """Return the flow at an entry point in a storage. The fetched code is kept until this process ends."""
    storage = storage_of(source)
    folder = fetch({"pull_steps": storage.pull_steps()}, _kept_folder())
    flow = load_fetched_flow(entrypoint, folder)
    flow.fetched_from = FetchedFrom(storage, entrypoint)
    return flow


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _kept_folder() -> Path:
    _folders.append(tempfile.TemporaryDirectory(prefix="orion-code-", ignore_cleanup_errors=True))
    return Path(_folders[-1].name)
