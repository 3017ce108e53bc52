"""What notification policies and automations can be searched by."""

from __future__ import annotations

from enum import StrEnum

from orchestration.wire import Moment
from runs.filters.conditions import AnyText, Filter, Leaf, YesOrNo


class PolicyFilter(Filter):
    """Without a condition all policies are listed."""

    is_active: YesOrNo | None = None


class Before(Leaf):
    before_: Moment | None = None


class AutomationFilter(Filter):
    name: AnyText | None = None
    created: Before | None = None


class AutomationSort(StrEnum):
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
