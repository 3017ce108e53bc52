"""Proposals of a new state, and what the rules answered, in the words and exit codes of the command line."""

from __future__ import annotations

from dataclasses import dataclass

from orionflow.cli.backend import Backend, Json


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a proposal: the run's state afterwards and, if a rule spoke, why."""

    verdict: str
    state: Json | None
    reason: str
    wrote: bool

    @property
    def state_name(self) -> str:
        return str(self.state["name"]) if self.state else "without a state"


def propose(api: Backend, run: Json, state_type: str, message: str, *, force: bool = False) -> Answer:
    """Propose a state for a flow run; the answer says whether a state was written."""
    body = {"state": {"type": state_type, "message": message}, "force": force}
    return read_answer(run, api.post(f"/flow_runs/{run['id']}/set_state", body))


def read_answer(run: Json, answer: Json) -> Answer:
    """The verdict; a rule may also have written another state than the proposed one."""
    state = answer.get("state")
    wrote = answer["status"] in ("ACCEPT", "REJECT") and state is not None and state["id"] != run["state_id"]
    return Answer(answer["status"], state, answer["details"].get("reason") or "", wrote)
