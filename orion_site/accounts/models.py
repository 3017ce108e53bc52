"""Keys of programs, roles of groups, and failures to sign in. Users, groups and sessions are Django's own."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone

from orion_site.accounts.role import CHOICES as ROLES
from orion_site.accounts.roles import LONGEST_NAME_OF_OBJECT, Kind, spelled


class Grant(models.Model):
    """A role that a group has: for everything, or for the objects of one name."""

    group = models.ForeignKey(Group, models.CASCADE, related_name="grants")
    role = models.CharField(max_length=16, choices=ROLES)
    # Both empty: for everything.
    kind = models.CharField(max_length=16, choices=Kind.choices, blank=True, default="")
    name = models.CharField(max_length=LONGEST_NAME_OF_OBJECT, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "role", "kind", "name"], name="grant_once")]

    def __str__(self) -> str:
        return spelled(self.role, self.kind, self.name)


class ApiKey(models.Model):
    """A key by which a program proves for whom it asks. The key itself is shown once, and not stored."""

    name = models.CharField(max_length=100)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    # The first characters, by which a row is found and people tell keys apart.
    hint = models.CharField(max_length=12, db_index=True)
    # SHA-256 of the whole: 32 random bytes need no slow hash.
    digest = models.CharField(max_length=64)
    # Empty: whatever the user may do.
    role = models.CharField(max_length=16, choices=ROLES, blank=True, default="")
    created = models.DateTimeField()
    expires = models.DateTimeField(null=True)
    last_used = models.DateTimeField(null=True)
    revoked = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.hint}…)"

    @property
    def state(self) -> str:
        """Whether it is valid, revoked, or has expired."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= timezone.now() else "valid"


class Identity(models.Model):
    """The subject of a provider of sign-on whom a user is there."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="one_user_per_subject")]

    def __str__(self) -> str:
        return self.subject


class RightsChanged(models.Model):
    """A number that moves with each change of keys, users, groups and roles: one row."""

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class SignInFailures(models.Model):
    """How often in a row somebody failed to sign in, by account and address, and until when to wait."""

    subject = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    last = models.DateTimeField(db_index=True)
    wait_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.subject
