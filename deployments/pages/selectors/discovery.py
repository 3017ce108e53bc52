"""A search for flows: its run, the agent's answer, and which of the flows are already deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from deployments.definitions.core.code_sources import CodeSource, source_of
from deployments.dispatch.selectors.liveness import has_agents
from deployments.models import Deployment, WorkPool, WorkQueue
from orchestration.json_texts import read_json
from orionflow.contract.discovery import ARTIFACT_TYPE, LARGEST_ANSWER, FoundFlow, FoundFlows
from orionflow.contract.kinds import FINDER_NAME
from orionflow.contract.states import TERMINAL, in_order
from runs.models import Artifact, FlowRun
from runs.pages.selectors.runs import state_reasons

ENDED = in_order(TERMINAL)
MOST_QUEUES = 500


class NotAnAnswer(ValueError):
    """The artifact of the run is not an answer of an agent."""


@dataclass(frozen=True, slots=True)
class Search:
    """A search, with the answer, or the reason why there is none."""

    run: FlowRun
    source: CodeSource | None
    answer: FoundFlows | None
    problem: str
    queue: WorkQueue | None
    is_served: bool
    deployed: Mapping[str, Sequence[Deployment]]

    @property
    def is_over(self) -> bool:
        return self.run.state_type in ENDED

    @property
    def lines(self) -> list[tuple[int, FoundFlow, Sequence[Deployment]]]:
        flows = self.answer.flows if self.answer else []
        return [(number, one, self.deployed.get(one.entrypoint, ())) for number, one in enumerate(flows)]


def search_for_flows(*, run_id: UUID, now: datetime) -> Search | None:
    run = FlowRun.objects.select_related("flow").filter(pk=run_id, flow__name=FINDER_NAME).first()
    if run is None:
        return None
    answer, problem = None, ""
    try:
        answer = _answer_of(run)
    except NotAnAnswer as error:
        problem = str(error)
    if answer is None and not problem and run.state_type in ENDED:
        problem = state_reasons([run]).get(str(run.pk)) or "The run left no answer."
    queue = WorkQueue.objects.select_related("work_pool").filter(pk=run.work_queue_id).first()
    return Search(
        run=run,
        source=source_of(run.parameters),
        answer=answer,
        problem=problem,
        queue=queue,
        is_served=queue is not None and has_agents(queue, now),
        deployed=_deployed(answer),
    )


def _answer_of(run: FlowRun) -> FoundFlows | None:
    """Read the newest artifact of the run. It is untrusted: everyone who may report runs may have written it."""
    data = Artifact.objects.filter(flow_run_id=run.pk, type=ARTIFACT_TYPE).order_by("-created", "-pk")
    text = data.values_list("data", flat=True).first()
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > LARGEST_ANSWER:
        raise NotAnAnswer("The agent's answer cannot be read; it may be of another version.")
    try:
        return FoundFlows.model_validate(read_json(text))
    except (ValueError, ValidationError) as error:
        raise NotAnAnswer("The agent's answer cannot be read; it may be of another version.") from error


def _deployed(answer: FoundFlows | None) -> dict[str, list[Deployment]]:
    """Return, by entry point, the deployments of these flows."""
    if answer is None or not answer.flows:
        return {}
    names, places = ({getattr(one, field) for one in answer.flows} for field in ("name", "entrypoint"))
    found: dict[str, list[Deployment]] = {}
    known = Deployment.objects.filter(flow__name__in=names, entrypoint__in=places).only("name", "entrypoint", "flow")
    for one in known.order_by("name")[:MOST_QUEUES]:
        found.setdefault(one.entrypoint or "", []).append(one)
    return found


def queues_to_choose() -> list[tuple[str, str]]:
    """Return pools with their queues. The default queue is included even if it was not created yet."""
    usual = (WorkPool.DEFAULT_NAME, "default")
    rows = WorkQueue.objects.filter(work_pool__isnull=False).order_by("work_pool__name", "name")
    found = list(rows.values_list("work_pool__name", "name")[:MOST_QUEUES])
    return found if usual in found else [usual, *found]
