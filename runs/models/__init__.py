"""The records of work: flows, their runs, every state of every run, logs, artifacts and results.

Runs have copies of their current state's type, name and time, so that lists filter without a join. Only
`orchestration.services` writes these columns.
"""

from __future__ import annotations

from runs.models.background_tasks import HeldCall
from runs.models.bulk_actions import BulkAction, BulkRun
from runs.models.conversions import Conversion
from runs.models.environments import Environment
from runs.models.flows import Flow
from runs.models.problems import Occurrence, Problem
from runs.models.records import Artifact, ArtifactCollection, DefaultView, FlowRunInput, Log, SavedSearch
from runs.models.retries import RunRetry
from runs.models.roll_ups import RollUp, RollUpChange
from runs.models.rows import NAME, Row
from runs.models.runs import UNFINISHED_TYPES, FlowRun, Run, TaskRun
from runs.models.states import CacheEntry, FlowRunState, StateRow, TaskRunState
from runs.models.tags import FlowRunTag, TaskRunTag

__all__ = [
    "Artifact",
    "ArtifactCollection",
    "BulkAction",
    "BulkRun",
    "CacheEntry",
    "Conversion",
    "DefaultView",
    "Environment",
    "Flow",
    "FlowRun",
    "FlowRunInput",
    "FlowRunState",
    "FlowRunTag",
    "HeldCall",
    "Log",
    "NAME",
    "Occurrence",
    "Problem",
    "RollUp",
    "RollUpChange",
    "Row",
    "Run",
    "RunRetry",
    "SavedSearch",
    "StateRow",
    "TaskRun",
    "TaskRunState",
    "TaskRunTag",
    "UNFINISHED_TYPES",
]
