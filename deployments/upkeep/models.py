"""The record of each service's last ticks, whichever process ran it."""

from __future__ import annotations

from django.db import models


class ServiceRecord(models.Model):
    """One service: its last tick, how long that took, and its last error. All tickers write the same row."""

    name = models.CharField(max_length=100, primary_key=True)
    every_seconds = models.FloatField()
    last_tick = models.DateTimeField(null=True)
    last_success = models.DateTimeField(null=True)
    last_seconds = models.FloatField(default=0)
    ticks = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    last_error = models.TextField(default="", blank=True)
    last_error_at = models.DateTimeField(null=True)
    ticker = models.CharField(
        max_length=255, default="", help_text="The host and process id of the process that ran it last."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ChangedSetting(models.Model):
    """A setting that a user changed while servers ran. It applies to all servers and overrides their environment."""

    name = models.CharField(max_length=100, primary_key=True)
    value = models.PositiveIntegerField()
    changed = models.DateTimeField()
    author = models.CharField(max_length=255, default="", blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
