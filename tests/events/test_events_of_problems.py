"""Automations react to problems once for each change, with words that the event fills in."""

from __future__ import annotations

from uuid import UUID

from events.notifications.services.notifications import send_notifications
from orionflow.contract.fingerprints import cause_of
from runs.models import Problem
from runs.problems.services.counting import work_on_problems
from runs.problems.services.decisions import resolve_problem
from tests.events.automations import act, notify, trigger
from tests.events.rows import make_block
from tests.factories import NOON, later, make_flow, make_flow_run, make_state

CAUSE = cause_of("KeyError", "'price'", [("load.py", "load_rows")])
WORDS = (
    "{{ event.payload.status }}: {{ event.payload.type }} in {{ event.payload.place }} ({{ event.payload.failures }})"
)


def failing(at, number: int, flow) -> None:
    for _ in range(number):
        state = make_state("FAILED", message="The flow raised KeyError: 'price'", cause=CAUSE.as_dict())
        make_flow_run(state, flow=flow, now=at, flow_version="1")
    work_on_problems(at)


def test_a_storm_of_failures_is_one_message(make, receiver):
    block = make_block("webhook", {"url": receiver.url, "method": "POST"})
    asked = trigger(expect=["orion.problem.new", "orion.problem.regressed"])
    assert make(asked, notify(block, WORDS)).status_code == 201
    flow = make_flow("etl")

    failing(later(), 9, flow)
    failing(later(2), 9, flow)
    act(3)
    send_notifications(later(4))

    bodies = [one["content"]["body"] for one in receiver.got]
    assert len(bodies) == 1
    assert "new: KeyError in load.py:load_rows (9)" in bodies[0]


def test_a_problem_that_returns_sends_another_message(make, receiver):
    block = make_block("webhook", {"url": receiver.url, "method": "POST"})
    make(trigger(expect=["orion.problem.*"]), notify(block, "{{ event.event }} of {{ event.resource.name }}"))
    flow = make_flow("etl")
    failing(NOON, 1, flow)
    resolve_problem(problem_id=Problem.objects.get().pk, by="ada", now=later(60))

    failing(later(120), 3, flow)
    act(121)
    send_notifications(later(122))

    messages = [one["content"]["body"].split("\n")[0] for one in receiver.got]
    assert [words.partition(" of ")[0] for words in messages] == [
        "orion.problem.new",
        "orion.problem.resolved",
        "orion.problem.regressed",
    ]
    assert "KeyError: 'price'" in messages[0]
    assert Problem.objects.get().pk == UUID(CAUSE.fingerprint)
