"""A module that takes its time to load, and leaves a mark as soon as it begins to."""

from __future__ import annotations

import os
import time
from pathlib import Path

from orionflow import flow

Path(os.environ["MARK_OF_TEST"]).touch()
time.sleep(float(os.environ.get("LOAD_SECONDS_OF_TEST", "4")))


@flow
def plain(witness: str) -> None:
    with open(witness, "a") as lines:
        lines.write("began\n")


sturdy = plain.with_options(name="sturdy", crash_retries=3)
