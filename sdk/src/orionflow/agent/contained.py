"""One run in a container: the program that agents of docker and kubernetes pools start there.

Process 1 of a container receives signals only if it handles them, and inherits orphans. So it starts the run as a
child, forwards signals, collects orphans, and exits as the child does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from types import FrameType
from typing import NoReturn

ORDER_VARIABLE = "ORION_ATTEMPT"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    text = os.environ.pop(ORDER_VARIABLE, None)
    if text is None:
        sys.exit(f"{ORDER_VARIABLE} is not set: agents start this program in containers; people use `orion run`.")
    if os.getpid() == 1:
        _become_init()
    from orionflow.agent import child

    child.execute({**json.loads(text), "code_folder": tempfile.mkdtemp(prefix="orion-"), "note": "", "env": {}})


def _become_init() -> None:
    """Fork the run, and return only in the child."""
    # Signals that arrive before the child exists are kept for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    run = os.fork()
    if run:
        _look_after(run)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def _look_after(run: int) -> NoReturn:
    def pass_on(number: int, frame: FrameType | None) -> None:
        # The child was not collected yet, so the id is still its own.
        os.kill(run, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == run:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
