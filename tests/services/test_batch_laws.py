"""The laws of the one writer, for task runs: in one batch, in pieces or one by one, the records are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deployments.models import Slot
from orchestration.batch import TaskRunTransition, apply_task_run_transitions
from orchestration.new_runs import NewTaskRun
from orchestration.services import propose_task_run_state
from orionflow.contract.ids import uuid7
from runs.models import Artifact, CacheEntry, TaskRun, TaskRunState
from runs.task_runs.services import create_task_run
from tests.factories import later, make_flow_run, make_limit, make_state
from tests.rounds import examples

pytestmark = pytest.mark.django_db

TASKS = 3
_worlds = count(1)


@dataclass(frozen=True)
class Step:
    """One move of one of three task runs."""

    task: int
    type: str
    force: bool = False
    cache_key: str | None = None
    data: Any = None


LABELLED = {"type": "reference", "artifact_type": "result", "artifact_description": "At `k`."}
results = st.sampled_from([None, {"type": "unpersisted"}, {"type": "reference"}, LABELLED])
steps = st.builds(
    Step,
    task=st.integers(0, TASKS - 1),
    type=st.sampled_from(["PENDING", "RUNNING", "RUNNING", "COMPLETED", "FAILED", "CRASHED", "CANCELLED", "SCHEDULED"]),
    force=st.sampled_from([False, False, False, True]),
    cache_key=st.sampled_from([None, None, "k"]),
    data=results,
)
# The states that the tasks are created with.
first_steps = st.tuples(
    *(
        st.builds(Step, st.just(n), st.sampled_from(["PENDING", "PENDING", "RUNNING", "COMPLETED"]), data=results)
        for n in range(TASKS)
    )
)
USUAL = tuple(Step(n, "PENDING") for n in range(TASKS))
flow_states = st.sampled_from(["RUNNING", "RUNNING", "PAUSED", "CANCELLING"])


class World:
    """A flow run with three tasks of which two share a limit, apart from all other worlds."""

    def __init__(self, flow_state: str) -> None:
        self.name = f"w{next(_worlds)}"
        self.flow_run = make_flow_run(flow_state)
        make_limit(self.name, 1)
        self.tasks = [uuid7() for _ in range(TASKS)]

    def items(self, moves: Sequence[Step], first: Sequence[Step] = USUAL) -> list[TaskRunTransition]:
        created = [TaskRunTransition(self.tasks[n], self._new(n), self._state(first[n])) for n in range(TASKS)]
        return [*created, *(TaskRunTransition(self.tasks[s.task], None, self._state(s), s.force) for s in moves)]

    def _new(self, number: int) -> NewTaskRun:
        tags = (self.name,) if number else ()
        policy = {"retries": 1, "retry_delay": 0} if number == 1 else {}
        return NewTaskRun(
            task_key="t", dynamic_key=str(number), flow_run_id=self.flow_run.pk, tags=tags, empirical_policy=policy
        )

    def _state(self, step: Step) -> Any:
        key = step.cache_key and f"{self.name}-{step.cache_key}"
        return make_state(step.type, id=uuid7(), data=step.data, cache_key=key)

    def records(self) -> list[Any]:
        """Everything that is stored of the tasks, but for ids and times."""
        kept = ("type", "name", "seq", "trail", "verdict", "data")
        return [self._record(TaskRun.objects.get(pk=task), kept) for task in self.tasks]

    def _record(self, run: TaskRun, kept: Sequence[str]) -> Any:
        history = [tuple(row) for row in TaskRunState.objects.filter(task_run=run).order_by("seq").values_list(*kept)]
        refused = run.refusal and run.refusal["reason"].replace(self.name, "w")
        slots = Slot.objects.filter(task_run=run).count()
        shown = list(Artifact.objects.filter(task_run_id=run.pk).values_list("type", "description", "data"))
        cached = [key[len(self.name) :] for key in _kept_keys(run)]
        books = (run.seq, run.state_type, run.state_name, run.run_count, run.flow_run_run_count, bool(run.end_time))
        return (str(history).replace(self.name, "w"), refused, slots, books, shown, cached)


def _kept_keys(run: TaskRun) -> list[str]:
    return list(CacheEntry.objects.filter(task_run_state__task_run=run).values_list("cache_key", flat=True))


def one_batch(items: Sequence[TaskRunTransition]) -> list[str]:
    done = apply_task_run_transitions(items=items, now=later(10), sent_at=None).items
    return [described(item.outcome) for item in done]


def batches_of_one(items: Sequence[TaskRunTransition]) -> list[str]:
    return [verdict for item in items for verdict in one_batch([item])]


def proposals(items: Sequence[TaskRunTransition]) -> list[str]:
    return [described(_proposed(item)) for item in items]


def _proposed(item: TaskRunTransition) -> Any:
    if item.create:
        create_task_run(new=item.create, run_id=item.task_run_id, state=item.proposed, now=later(10))
        return None
    return propose_task_run_state(run_id=item.task_run_id, proposed=item.proposed, now=later(10), force=item.force)


def described(outcome: Any) -> str:
    return type(outcome.verdict).__name__ if outcome else "Accept"


@pytest.mark.parametrize("in_pieces", [batches_of_one, proposals])
@examples(8, 400)
@given(moves=st.lists(steps, max_size=12), first=first_steps, flow_state=flow_states)
@example([Step(0, "COMPLETED", data=LABELLED)], USUAL, "RUNNING")
@example([], (Step(0, "COMPLETED", data=LABELLED), *USUAL[1:]), "RUNNING")
# The second result takes the place of the first under their key, and is forgotten.
@example([Step(n, "COMPLETED", cache_key="k") for n in (0, 1)] + [Step(1, "PENDING", force=True)], USUAL, "RUNNING")
def test_a_batch_is_its_items_one_by_one(
    in_pieces: Callable[[Sequence[TaskRunTransition]], list[str]],
    moves: list[Step],
    first: tuple[Step, ...],
    flow_state: str,
):
    whole, parts = World(flow_state), World(flow_state)

    verdicts = one_batch(whole.items(moves, first))

    assert in_pieces(parts.items(moves, first)) == verdicts
    assert parts.records() == whole.records()


@examples(8, 400)
@given(moves=st.lists(steps, max_size=10), cut=st.integers(0, 13))
@example([Step(0, "COMPLETED"), Step(0, "CRASHED"), Step(0, "PENDING", force=True)], 0)
@example([Step(1, "RUNNING"), Step(2, "RUNNING"), Step(1, "PENDING", force=True)], 0)
def test_repeated_items_change_nothing(moves: list[Step], cut: int):
    plain, repeated = World("RUNNING"), World("RUNNING")
    one_batch(plain.items(moves))
    items = repeated.items(moves)

    one_batch(items[:cut])
    one_batch(items)
    one_batch(items)

    assert [history for history, *_ in repeated.records()] == [history for history, *_ in plain.records()]
