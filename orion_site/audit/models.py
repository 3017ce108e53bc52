"""Models of audit entries, of the days that chain them, and of changes that triggers store for entries."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    """Something that a user did, or was refused. Written once; triggers refuse to change or delete it."""

    class Entrance(models.TextChoices):
        API = "api"
        PAGE = "page"
        ADMIN = "admin"
        CLI = "cli"
        AUTOMATION = "automation"
        SERVER = "server"

    class Result(models.TextChoices):
        DONE = "done"
        REFUSED = "refused"

    at = models.DateTimeField()
    # The day whose chain contains the entry, and its number there.
    day = models.DateField()
    number = models.PositiveIntegerField()
    actor = models.CharField(max_length=255)
    key_id = models.CharField(max_length=255, default="", blank=True)
    address = models.CharField(max_length=64, default="", blank=True)
    request_id = models.CharField(max_length=64, default="", blank=True)
    entrance = models.CharField(max_length=10, choices=Entrance)
    action = models.CharField(max_length=64)
    operation = models.CharField(max_length=255)
    object_kind = models.CharField(max_length=32, default="", blank=True)
    object_id = models.CharField(max_length=64, default="", blank=True)
    object_name = models.CharField(max_length=255, default="", blank=True)
    # JSON as it was hashed; empty if there is nothing. For a change, only the changed fields.
    before = models.TextField(default="", blank=True)
    after = models.TextField(default="", blank=True)
    result = models.CharField(max_length=8, choices=Result, default=Result.DONE)
    reason = models.TextField(default="", blank=True)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name_plural = "entries"
        ordering = ["-at", "-id"]
        constraints = [models.UniqueConstraint(fields=["day", "number"], name="one_audit_entry_per_number")]
        indexes = [
            # The list, newest first; each filter that may be used alone has its own.
            models.Index(fields=["-at", "-id"], name="audit_by_time"),
            models.Index(fields=["actor", "-at", "-id"], name="audit_by_actor"),
            models.Index(fields=["action", "-at", "-id"], name="audit_by_action"),
            models.Index(fields=["object_id", "-at", "-id"], name="audit_by_object"),
            models.Index(fields=["object_kind", "-at", "-id"], name="audit_by_kind"),
            models.Index(fields=["entrance", "-at", "-id"], name="audit_by_entrance"),
            models.Index(fields=["-at", "-id"], name="audit_refused", condition=models.Q(result="refused")),
        ]

    def __str__(self) -> str:
        return f"{self.operation} by {self.actor}"


class Day(models.Model):
    """The chain of one day: the number of its entries, and the hash of the last one."""

    day = models.DateField(primary_key=True)
    entries = models.PositiveIntegerField()
    head = models.CharField(max_length=64)
    removed = models.DateTimeField(null=True, help_text="When retention removed its entries.")

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return str(self.day)


class Mark(models.Model):
    """A row that exists while an audited transaction of SQLite is open: triggers check for it."""

    def __str__(self) -> str:
        return str(self.pk)


class Change(models.Model):
    """A row before and after a change, stored by a trigger.

    The same transaction makes an entry of it and deletes it.
    """

    table = models.CharField(max_length=64)
    before = models.TextField(null=True)
    after = models.TextField(null=True)

    def __str__(self) -> str:
        return f"{self.table} {self.pk}"
