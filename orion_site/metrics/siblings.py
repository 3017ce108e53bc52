"""Figures of all processes of one server: each writes its own to a file, and the process that is scraped adds them.

A scrape of `orion server start --workers N` reaches a different worker each time. Files that become old, as those of
frozen processes, are left out of it.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from orion_site.metrics import process
from orion_site.metrics.exposition import Collected
from orion_site.metrics.figure_files import OLD_SECONDS, folder_of, silent_in
from orionflow.private_files import private_opener

EVERY_SECONDS = 2.0
ALONE = "server"

logger = logging.getLogger("orion.metrics")


class Siblings:
    """The processes of a server, which share a folder. A single process has no siblings."""

    def __init__(self, name: str = ALONE, folder: Path | None = None) -> None:
        self.name, self._folder = name, folder

    def families(self) -> list[Metric]:
        """Return the present figures of this process, with those of the others from a few seconds ago."""
        found = {one.name: one for one in process.families(self.name)}
        for family in self._of_others():
            if family.name in found:
                found[family.name].samples += family.samples
            else:
                found[family.name] = family
        return list(found.values())

    def publish(self) -> None:
        if self._folder is None:
            return
        file = self._folder / f"{self.name}.prom"
        text = generate_latest(Collected(process.families(self.name)))
        with open(file.with_suffix(".new"), "wb", opener=private_opener) as new:
            new.write(text)
        # In one step: other processes read the former figures or these, never a part.
        os.replace(new.name, file)

    def silent(self) -> dict[str, float]:
        """Return the other processes that seem to be frozen, with the seconds since they last wrote their figures."""
        found = {} if self._folder is None else silent_in(self._folder)
        found.pop(self.name, None)
        return found

    def counts_of_others(self, name: str) -> Iterator[Sample]:
        """Yield the samples of this counter, without the cost of reading all figures.

        Those of frozen processes are among them: what they have counted stays true.
        """
        begins = (f"{name}{{", f"{name} ")
        for family in self._of_others(lambda line: line.startswith(begins), math.inf):
            yield from family.samples

    def _of_others(
        self, is_wanted: Callable[[str], bool] | None = None, oldest: float = OLD_SECONDS
    ) -> Iterator[Metric]:
        if self._folder is None:
            return
        for file in sorted(self._folder.glob("*.prom")):
            try:
                if file.stem != self.name and time.time() - file.stat().st_mtime <= oldest:
                    text = file.read_text()
                    if is_wanted:
                        text = "".join(line for line in text.splitlines(keepends=True) if is_wanted(line))
                    yield from text_string_to_metric_families(text)
            except (OSError, ValueError) as error:
                logger.debug("The figures of %s cannot be read: %s", file.stem, error)


siblings = Siblings()


def join(name: str, server: int) -> None:
    """Make this process one of the server with that process id, whose figures are published."""
    global siblings
    folder = folder_of(server)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other.name.isdecimal() and not Path(f"/proc/{other.name}").exists() and Path("/proc").exists():
            # It belongs to a server that was killed. Only /proc says so here.
            shutil.rmtree(other, ignore_errors=True)
    siblings = Siblings(name, folder)
    threading.Thread(target=_publish_forever, args=(siblings,), name="orion-metrics", daemon=True).start()


def _publish_forever(own: Siblings) -> None:
    while True:
        try:
            own.publish()
        except OSError as error:
            logger.warning("The figures of %s cannot be written: %s", own.name, error)
        time.sleep(EVERY_SECONDS)
