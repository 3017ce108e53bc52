"""The names of roles, without what they allow: commands offer them before Django is loaded."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Named sets of actions, in order of their rights; `monitor` and `agent` are for machines."""

    MONITOR = "monitor"
    VIEWER = "viewer"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    AGENT = "agent"
    ADMIN = "admin"


NAMES = tuple(role.value for role in Role)
CHOICES = [(name, name.capitalize()) for name in NAMES]
