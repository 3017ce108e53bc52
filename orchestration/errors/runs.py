"""What can be wrong with requests about flows, their runs, and what is recorded of those."""

from __future__ import annotations

from orchestration.errors.kinds import Conflict, DomainError, NotFound


class FlowNotFound(NotFound):
    code = "flow_not_found"
    message = "Flow {id} not found."


class FlowRunNotFound(NotFound):
    code = "flow_run_not_found"
    message = "Flow run with id {id} not found"


class TaskRunNotFound(NotFound):
    code = "task_run_not_found"
    message = "Task run with id {id} not found"


class RunIdTaken(Conflict):
    code = "run_id_taken"
    message = "The id {id} belongs to another run; make a new one for each run."


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


class JobVariablesUnused(DomainError):
    """Job variables were sent for a run that belongs to no deployment, so that no work pool reads them."""

    code = "job_variables_unused"
    message = "A deployment for the flow run could not be found, so nothing would use its job variables."


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
