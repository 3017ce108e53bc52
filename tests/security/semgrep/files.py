from __future__ import annotations

import os
import tempfile
from pathlib import Path


def read(request):
    name = request.GET["name"]
    # ruleid: file-named-by-a-request
    with open(name) as file:
        return file.read()


def scratch():
    # ruleid: fixed-name-among-temporary-files
    Path(tempfile.gettempdir()) / "orion"
    # ruleid: fixed-name-among-temporary-files
    open("/tmp/orion.log", "w")
    # ok: fixed-name-among-temporary-files
    return tempfile.mkdtemp(prefix="orion-")


def kept(path):
    # ruleid: file-for-everybody
    os.chmod(path, 0o644)
    # ruleid: file-for-everybody
    path.mkdir(mode=0o755)
    # ok: file-for-everybody
    path.chmod(0o600)
    # ok: file-for-everybody
    path.mkdir(mode=0o700)
