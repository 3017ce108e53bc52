"""The names of roles, apart from what they allow: commands offer them before Django is loaded."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Named sets of actions, from the least to the most; `monitor` and `agent` are for machines."""

    MONITOR = "monitor"
    VIEWER = "viewer"
    OPERATOR = "operator"
    DEPLOYER = "deployer"
    AGENT = "agent"
    ADMIN = "admin"


NAMES = tuple(role.value for role in Role)
CHOICES = [(name, name.capitalize()) for name in NAMES]
