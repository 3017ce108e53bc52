"""Calls of tasks outside of flows that a connected process has taken and not yet started."""

from __future__ import annotations

from django.db import models


class HeldCall(models.Model):
    """A call whose process was still connected a moment ago; until `held_until` it is not offered again.

    The server that has the process's websocket renews the row, and any server may look for abandoned calls. Without a
    foreign key, and apart from the task run: few of these have ever a row, and rows last for half a minute.
    """

    task_run_id = models.UUIDField(primary_key=True)
    held_until = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.task_run_id)
