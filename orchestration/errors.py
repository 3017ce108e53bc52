"""What can be wrong with a request to the domain. None of it knows HTTP; `orchestration.api` gives each a status.

DomainError
├── NotFound: FlowNotFound, FlowRunNotFound, TaskRunNotFound, StateNotFound, ArtifactNotFound, LogNotFound,
│   SavedSearchNotFound, FlowRunInputNotFound, DeploymentNotFound, ConcurrencyLimitNotFound
├── Conflict: InputExists, StateIdTaken
├── NotResumable
└── RunLost
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A request that cannot be met; `code` is for machines, the message names the thing and what to do."""

    code: ClassVar[str] = "error"
    message: ClassVar[str] = "The request cannot be met."

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self.message.format(**details))


class NotFound(DomainError):
    """Something that the request names is not there."""

    code = "not_found"
    message = "Not found."


class FlowNotFound(NotFound):
    code = "flow_not_found"
    message = "Flow {id} not found."


class FlowRunNotFound(NotFound):
    code = "flow_run_not_found"
    message = "Flow run with id {id} not found"


class TaskRunNotFound(NotFound):
    code = "task_run_not_found"
    message = "Task run with id {id} not found"


class StateNotFound(NotFound):
    code = "state_not_found"
    message = "State {id} not found."


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"
    message = "Artifact {id} not found."


class SavedSearchNotFound(NotFound):
    code = "saved_search_not_found"
    message = "Saved search {id} not found."


class FlowRunInputNotFound(NotFound):
    code = "flow_run_input_not_found"
    message = "Flow run {id} has no input with the key {key!r}."


class DeploymentNotFound(NotFound):
    code = "deployment_not_found"
    message = "Deployment {id} not found."


class ConcurrencyLimitNotFound(NotFound):
    code = "concurrency_limit_not_found"
    message = "There is no concurrency limit on {tag!r}."


class Conflict(DomainError):
    """The request contradicts what is stored."""

    code = "conflict"
    message = "The request contradicts what is stored."


class InputExists(Conflict):
    code = "flow_run_input_exists"
    message = "Flow run {id} already has an input with the key {key!r}; delete it first."


class StateIdTaken(Conflict):
    code = "state_id_taken"
    message = "The state id {id} belongs to another run; make a new one for each proposal."


class RunLost(DomainError):
    """A writer of an earlier attempt reported; the run was given to somebody else in the meantime."""

    code = "run_lost"
    message = (
        "Flow run {id} is no longer yours: attempt {epoch} was replaced by attempt {current}. Stop without reporting."
    )
