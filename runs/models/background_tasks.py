"""Calls of tasks outside of flows that were offered to a connected process, which has not yet started them."""

from __future__ import annotations

from django.db import models


class HeldCall(models.Model):
    """A call that a server has offered to a process; until `held_until` no other server offers it.

    The server renews the row as long as the process has claimed the call and is connected, and any server may look for
    abandoned calls. Without a foreign key, and apart from the task run: few of these have ever a row, and rows last for
    half a minute.
    """

    task_run_id = models.UUIDField(primary_key=True)
    held_until = models.DateTimeField()
    # The server process, by an id that it chooses when it starts. None in rows of earlier versions.
    server = models.UUIDField(null=True)

    def __str__(self) -> str:
        return str(self.task_run_id)
