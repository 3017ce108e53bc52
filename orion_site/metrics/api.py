"""The bottlenecks of the installation in the API, for `orion doctor` and other programs."""

from __future__ import annotations

from typing import Any

from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action
from orion_site.metrics.bottlenecks import judged
from orion_site.metrics.observing import observed
from orion_site.metrics.views import shared
from orionflow.contract.records import Bottleneck


class FindBottlenecks(Operation):
    """Find which parts of the installation keep the others waiting now, at most three, the worst first."""

    method = "GET"
    action_required = Action.READ_METRICS
    answers = {200: list[Bottleneck]}

    def perform(self) -> list[dict[str, Any]]:
        found = judged(observed(shared.figures()))
        return [as_answer(Bottleneck, None, part=one.part, evidence=one.evidence, fix=one.fix) for one in found]
