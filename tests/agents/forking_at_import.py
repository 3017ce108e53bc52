"""A module that forks a process while it is imported; the process is to end at once."""

from __future__ import annotations

import os
import sys

from orionflow import flow

child = os.fork()
if child == 0:
    sys.exit(3)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@flow(name="flow")
def deployed() -> int:
    return status
