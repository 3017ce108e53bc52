"""A module that takes its time to load, and leaves a mark as soon as it begins to."""

from __future__ import annotations

import os
import time
from pathlib import Path

from orionflow import flow

Path(os.environ["ORION_TEST_MARK"]).touch()
time.sleep(float(os.environ.get("ORION_TEST_LOAD_SECONDS", "4")))


@flow
def plain(witness: str) -> None:
    with open(witness, "a") as lines:
        lines.write("began\n")


sturdy = plain.with_options(name="sturdy", crash_retries=3)
