"""The delay of the server's event loop: a timer measures once a second how late it is called."""

from __future__ import annotations

import asyncio

from orchestration.measured import Distribution

EVERY_SECONDS = 1.0

lateness = Distribution()


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Measure the loop as long as it runs."""
    loop.call_at(loop.time() + EVERY_SECONDS, _look, loop, loop.time() + EVERY_SECONDS)


def _look(loop: asyncio.AbstractEventLoop, due: float) -> None:
    lateness.observe(loop.time() - due)
    from orion_site.metrics.recent import remember  # it reads what is measured here

    remember()
    watch(loop)
