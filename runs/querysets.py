"""Named questions about runs: each method is one condition that selectors, pages and services combine."""

from __future__ import annotations

from typing import Any, Self

from django.db import models

from orchestration.core.states import TERMINAL, StateType


class RunQuerySet(models.QuerySet[Any]):
    """Questions that flow runs and task runs share."""

    def in_state(self, *types: StateType) -> Self:
        return self.filter(state_type__in=[state_type.value for state_type in types])

    def unfinished(self) -> Self:
        return self.exclude(state_type__in=[state_type.value for state_type in TERMINAL])


class FlowRunQuerySet(RunQuerySet):
    pass


class TaskRunQuerySet(RunQuerySet):
    pass


class FlowQuerySet(models.QuerySet[Any]):
    pass


class LogQuerySet(models.QuerySet[Any]):
    pass


class ArtifactQuerySet(models.QuerySet[Any]):
    pass
