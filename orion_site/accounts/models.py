"""Models of API keys, roles of groups, and failures to sign in. Users, groups and sessions are Django's models."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone

from orion_site.accounts.role import CHOICES as ROLES
from orion_site.accounts.roles import LONGEST_NAME_OF_OBJECT, Kind, role_text


class Grant(models.Model):
    """A role of a group: for all objects, or for the objects of one name."""

    group = models.ForeignKey(Group, models.CASCADE, related_name="grants")
    role = models.CharField(max_length=16, choices=ROLES)
    # Both are empty for a role on all objects.
    kind = models.CharField(max_length=16, choices=Kind.choices, blank=True, default="")
    name = models.CharField(max_length=LONGEST_NAME_OF_OBJECT, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "role", "kind", "name"], name="grant_once")]

    def __str__(self) -> str:
        return role_text(self.role, self.kind, self.name)


class ApiKey(models.Model):
    """An API key with which a program authenticates as a user. The key itself is shown once, and not stored."""

    name = models.CharField(max_length=100)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    # The first characters, by which rows are found and users distinguish keys.
    hint = models.CharField(max_length=12, db_index=True)
    # SHA-256 of the whole key: 26 random bytes need no slow hash.
    digest = models.CharField(max_length=64)
    # The key's role; empty for all rights of the user.
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
    """The subject at a provider of single sign-on that belongs to a user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="one_user_per_subject")]

    def __str__(self) -> str:
        return self.subject


class RightsChanged(models.Model):
    """A number that changes with keys, users, groups and roles. There is one row."""

    number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.number)


class SignInFailures(models.Model):
    """Consecutive failures to sign in, by account and address, and until when to wait."""

    subject = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    last = models.DateTimeField(db_index=True)
    wait_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.subject
