"""A module whose first import is ended as by a kernel that has no memory left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from orionflow import flow

mark = Path(os.environ["MARK_OF_TEST"])
if not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def plain() -> str:
    return "there"


sturdy = plain.with_options(name="sturdy", crash_retries=1)
