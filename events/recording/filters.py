"""Filters for notification policies and automations."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from orionflow.contract.wire import Moment
from runs.lists.filters.conditions import AnyId, AnyIdOrNull, AnyText, Filter, Leaf, YesOrNo


class PolicyFilter(Filter):
    """Without a condition, all policies are listed."""

    is_active: YesOrNo | None = None


class Before(Leaf):
    before_: Moment | None = None


class AutomationFilter(Filter):
    name: AnyText | None = None
    created: Before | None = None


class NotificationFilter(Filter):
    columns: ClassVar[dict[str, str]] = {"policy_id": "policy", "block_document_id": "block_document"}

    id: AnyId | None = None
    policy_id: AnyId | None = None
    automation_id: AnyIdOrNull | None = None
    flow_run_id: AnyId | None = None
    block_document_id: AnyId | None = None
    standing: AnyText | None = None


class FiringFilter(Filter):
    columns: ClassVar[dict[str, str]] = {"automation_id": "automation"}

    automation_id: AnyId | None = None


class AutomationSort(StrEnum):
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
