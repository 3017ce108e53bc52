"""Forms of accounts. Refusals of services are shown above them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import Group, User

from orion_site.accounts.roles import ACTIONS, Held, Role
from orion_site.accounts.users import LONGEST_NAME, users

LIVES = {"30": "30 days", "90": "90 days", "365": "A year", "": "Never"}
ROLES = {
    Role.MONITOR: "Monitor: reads the figures of /metrics and nothing else; for Prometheus",
    Role.VIEWER: "Viewer: sees everything but secrets",
    Role.OPERATOR: "Operator: also starts, pauses, cancels and retries runs, and answers their questions",
    Role.DEPLOYER: "Deployer: also changes deployments, blocks, variables, limits, queues and automations",
    Role.AGENT: "Agent: executes runs; for programs",
    Role.ADMIN: "Admin: everything, with settings, users and the admin",
}


def _password(label: str, **kwargs: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
    return forms.CharField(label=label, strip=False, widget=widget, **kwargs)


class KeyForm(forms.Form):
    """A new key of the user; for users who manage users, also of others."""

    name = forms.CharField(max_length=100, help_text="What it is for: a program, or a machine.")
    user: forms.ModelChoiceField[User] = forms.ModelChoiceField(
        queryset=None, to_field_name="username", label="Whose key it is"
    )
    role = forms.ChoiceField(required=False, label="It may do")
    life = forms.ChoiceField(required=False, choices=list(LIVES.items()), initial="365", label="It expires after")

    def __init__(self, *args: Any, actions: frozenset[Any], chooses_user: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user"].queryset = users().filter(is_active=True)  # type: ignore[attr-defined]
        if not chooses_user:
            del self.fields["user"]
        possible = [(role.value, words) for role, words in ROLES.items() if ACTIONS[role] <= actions]
        self.fields["role"].choices = [("", "All that its user may"), *possible]  # type: ignore[attr-defined]

    @property
    def lasts(self) -> timedelta | None:
        days = self.cleaned_data["life"]
        return timedelta(days=int(days)) if days else None


def _groups() -> forms.Field:
    """Return a field for groups by name, as checkboxes."""
    return forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"), to_field_name="name", required=False, widget=forms.CheckboxSelectMultiple
    )


class NewUserForm(forms.Form):
    """A new user: a person with a password, or a service account without one."""

    name = forms.CharField(max_length=LONGEST_NAME)
    password = _password(
        "Password", required=False, help_text="Leave it out for a service account, which has keys only."
    )
    role = forms.ChoiceField(required=False, choices=[("", "None of its own"), *ROLES.items()])
    groups = _groups()


class UserGroupsForm(forms.Form):
    """The groups of a user."""

    groups = _groups()


class NewPasswordForm(forms.Form):
    """The new password of another user."""

    password = _password("New password")


class GroupForm(forms.Form):
    """A group: its name if it is new, and its roles."""

    name = forms.CharField(max_length=LONGEST_NAME)
    roles = forms.MultipleChoiceField(
        required=False,
        choices=list(ROLES.items()),
        widget=forms.CheckboxSelectMultiple(attrs={"class": "long-choices"}),
        label="Roles for everything",
    )
    objects = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        label="Roles for named objects",
        help_text="One in each line: operator:deployment:flow/name, viewer:tag:name, operator:work-pool:name or "
        "operator:work-queue:pool/name. Members see and change what belongs to these objects, and nothing else.",
    )

    @classmethod
    def initial_of(cls, held: list[Held]) -> dict[str, Any]:
        return {
            "roles": [one.role for one in held if not one.kind],
            "objects": "\n".join(str(one) for one in held if one.kind),
        }

    def clean(self) -> dict[str, Any]:
        """Return the roles of both fields in the form that services expect."""
        values = super().clean() or self.cleaned_data
        named = [line.strip() for line in values.pop("objects", "").splitlines() if line.strip()]
        return {**values, "roles": [*values.get("roles", []), *named]}
