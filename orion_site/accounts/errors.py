"""Refusals of the services of accounts, with sentences for the user."""

from __future__ import annotations

from orchestration.errors import Conflict, DomainError, not_found

UserNotFound = not_found("user", "There is no user {id!r}.")
GroupNotFound = not_found("group", "There is no group {id!r}.")
KeyNotFound = not_found("key", "There is no key {id!r}.")


class KeyRefused(Exception):
    """The key is wrong, has expired or was revoked; the message says which."""


class NameTaken(Conflict):
    code = "name_taken"
    message = "There is {what} with the name {name!r} already."
    field = "name"


class NameLooksAlike(NameTaken):
    """The name of a user or group looks like that of another one."""

    code = "name_looks_alike"
    message = (
        "There is {what} {taken!r} already, which looks like {name!r}; choose a name that cannot be confused with it."
    )


class BadName(DomainError):
    code = "bad_name"
    message = "{name!r} cannot be a name: use letters, digits, and @ . + - _ in it, at most 150."


class BadPassword(DomainError):
    code = "bad_password"
    message = "{reason}"


class BadRole(DomainError):
    code = "bad_role"
    message = "{reason}"


class KeyTooStrong(DomainError):
    code = "key_too_strong"
    message = "A key cannot have the role {role}: {user} may do less than that."


class LastAdmin(Conflict):
    code = "last_admin"
    message = "{name} is the last admin who can sign in: make another one first."
