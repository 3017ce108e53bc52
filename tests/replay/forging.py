"""Capsules as an attacker writes them: any name, any size, any manifest."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from orionflow.replay.capsule import FORMAT, MANIFEST, RUNS, VERSION

FLOW_RUN = "01a225bb-b54a-7248-acb3-ca199a23d9fb"
TASK_RUN = "01a225bb-b6c4-7d26-8a67-d25cde456d42"


def records(**changes: Any) -> dict[str, Any]:
    """A run that failed, with one task that completed and one that failed."""
    task = {"id": TASK_RUN, "name": "extract-0", "task_key": "extract-12345678", "dynamic_key": "0"}
    own = {
        "run": {"id": FLOW_RUN, "name": "calm-fox", "state": {"type": "FAILED", "name": "Failed", "message": "boom"}},
        "task_runs": [{**task, "state": {"type": "COMPLETED", "name": "Completed"}}],
        "results": {},
    }
    return {"flow": {"name": "etl"}, "deployment": None, "root": FLOW_RUN, "flow_runs": [own], **changes}


def forge(
    path: Path, members: dict[str, bytes] | None = None, *, runs: Any = None, manifest: dict[str, Any] | None = None,
    entries: list[tuple[zipfile.ZipInfo | str, bytes]] | None = None,
) -> Path:  # fmt: skip
    """Write a capsule that fits its manifest, but for what is named: `entries` are not in the manifest."""
    content = {RUNS: json.dumps(records() if runs is None else runs).encode(), **(members or {})}
    listed = {name: {"size": len(one), "sha256": hashlib.sha256(one).hexdigest()} for name, one in content.items()}
    whole = {"format": FORMAT, "version": VERSION, "members": listed, "orion": "0.1.0", **(manifest or {})}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in content.items():
            archive.writestr(name, one)
        for entry, one in entries or []:
            archive.writestr(entry, one)
        archive.writestr(MANIFEST, json.dumps(whole))
    path.write_bytes(file.getvalue())
    return path
