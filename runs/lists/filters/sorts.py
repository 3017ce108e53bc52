"""The orders of lists. Each ends in the id, so that pages neither repeat nor skip rows."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.db.models import F
from django.db.models.functions import Coalesce


class FlowRunSort(StrEnum):
    ID_DESC = "ID_DESC"
    START_TIME_ASC = "START_TIME_ASC"
    START_TIME_DESC = "START_TIME_DESC"
    EXPECTED_START_TIME_ASC = "EXPECTED_START_TIME_ASC"
    EXPECTED_START_TIME_DESC = "EXPECTED_START_TIME_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    NEXT_SCHEDULED_START_TIME_ASC = "NEXT_SCHEDULED_START_TIME_ASC"
    END_TIME_DESC = "END_TIME_DESC"


class TaskRunSort(StrEnum):
    ID_DESC = "ID_DESC"
    EXPECTED_START_TIME_ASC = "EXPECTED_START_TIME_ASC"
    EXPECTED_START_TIME_DESC = "EXPECTED_START_TIME_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    NEXT_SCHEDULED_START_TIME_ASC = "NEXT_SCHEDULED_START_TIME_ASC"
    END_TIME_DESC = "END_TIME_DESC"


class FlowSort(StrEnum):
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"


class LogSort(StrEnum):
    TIMESTAMP_ASC = "TIMESTAMP_ASC"
    TIMESTAMP_DESC = "TIMESTAMP_DESC"


class ArtifactSort(StrEnum):
    ID_DESC = "ID_DESC"
    CREATED_DESC = "CREATED_DESC"
    UPDATED_DESC = "UPDATED_DESC"
    KEY_DESC = "KEY_DESC"
    KEY_ASC = "KEY_ASC"


# As in the index. A run without these two times is sorted by its creation.
_STARTED = Coalesce("start_time", "expected_start_time", "created")

# These orders match the indexes. Where a column is often null, nulls come last on both databases.
ORDERS: Mapping[str, tuple[Any, ...]] = {
    "ID_DESC": ("-id",),
    "START_TIME_ASC": (_STARTED.asc(), "id"),
    "START_TIME_DESC": (_STARTED.desc(), "-id"),
    "EXPECTED_START_TIME_ASC": ("expected_start_time", "id"),
    "EXPECTED_START_TIME_DESC": ("-expected_start_time", "-id"),
    "NAME_ASC": ("name", "id"),
    "NAME_DESC": ("-name", "-id"),
    "NEXT_SCHEDULED_START_TIME_ASC": (F("next_scheduled_start_time").asc(nulls_last=True), "id"),
    "END_TIME_DESC": (F("end_time").desc(nulls_last=True), "-id"),
    "CREATED_DESC": ("-created", "-id"),
    "UPDATED_DESC": ("-updated", "-id"),
    "TIMESTAMP_ASC": ("timestamp", "id"),
    "TIMESTAMP_DESC": ("-timestamp", "-id"),
    "KEY_ASC": (F("key").asc(nulls_last=True), "id"),
    "KEY_DESC": (F("key").desc(nulls_last=True), "-id"),
}
# The orders in which the rows of one tag are stored.
TAG_ORDERS: Mapping[str, tuple[str, ...]] = {
    "ID_DESC": ("-run_id",),
    "EXPECTED_START_TIME_ASC": ("expected_start_time", "run_id"),
    "EXPECTED_START_TIME_DESC": ("-expected_start_time", "-run_id"),
}
