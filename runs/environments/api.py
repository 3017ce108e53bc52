"""Environments: stored by programs, and read by users who compare runs."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from orchestration.api.answers import as_answer
from orchestration.api.errors import existing
from orchestration.api.operations import Operation
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action
from orionflow.contract import environments as contract
from orionflow.contract.wire import Shaped
from runs.environments.services import store_environment
from runs.models import Environment

EnvironmentOut = Annotated[dict[str, Any], Shaped(contract.Environment)]


class StoreEnvironment(Operation):
    """Store the environment of a program: Python, packages, the commit of its code. Runs refer to its digest."""

    method = "POST"
    action_required = Action.REPORT_RUNS
    reports = True
    answers = {204: None}

    def perform(self, body: contract.EnvironmentContent) -> None:
        store_environment(content=body.model_dump(mode="json"), now=current_time())


class ReadEnvironment(Operation):
    """Read an environment that a run names."""

    method = "GET"
    action_required = Action.READ_RUNS
    answers = {200: EnvironmentOut}

    def perform(self, id: UUID) -> EnvironmentOut:
        found = existing(Environment.objects.filter(pk=id).first(), "Environment")
        return as_answer(contract.Environment, found)
