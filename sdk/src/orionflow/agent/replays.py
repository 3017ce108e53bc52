"""What programs of this machine could not report while the API was away is sent by its agent when the API is back."""

from __future__ import annotations

import logging
import threading
import time
from copy import copy
from typing import TYPE_CHECKING

from orionflow.reporting import replay_leftovers

if TYPE_CHECKING:
    from orionflow.client import OrionClient

logger = logging.getLogger("orionflow.reporting")

EVERY_SECONDS = 10.0


class Replays:
    """Looks into the spool from time to time, in a thread that ends with the process."""

    def __init__(self, client: OrionClient) -> None:
        self._client = copy(client)
        self._thread = threading.Thread(target=self._run, name="orion-replays", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                replay_leftovers(self._client)
            except Exception:
                logger.exception("Reports of programs that ended could not be sent now")
            time.sleep(EVERY_SECONDS)
