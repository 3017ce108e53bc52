"""The errors of flows, runs, and what is recorded of them, in addition to `orchestration.errors`."""

from __future__ import annotations

from orchestration.errors import Conflict, DomainError, Protected, not_found

FlowNotFound = not_found("flow", "Flow {id} not found.")
ArtifactNotFound = not_found("artifact", "Artifact {id} not found.")
SavedSearchNotFound = not_found("saved_search", "Saved search {id} not found.")
FlowRunInputNotFound = not_found("flow_run_input", "Flow run {id} has no input with the key {key!r}.")
ProblemNotFound = not_found("problem", "Problem {id} not found.")
BulkActionNotFound = not_found("bulk_action", "Bulk action {id} not found.")


class NothingToChange(DomainError):
    """The filter of the bulk action matches no run."""

    code = "nothing_to_change"
    message = "No flow run matches, so there is nothing to {action}."


class TooManyTaskRuns(DomainError):
    """The run has too many task runs to retry it from one of them."""

    code = "too_many_task_runs"
    message = "The run has more than {most:,} task runs, too many to retry it from one of them; retry it as a whole."


class NoSuchTask(DomainError):
    """The run did not call the task to retry from."""

    code = "no_such_task"
    message = "The last attempt of {run} called no task {wanted!r}; it called {known}."


class RetryTaken(Conflict):
    """The id of a retry belongs to another one."""

    code = "retry_taken"
    message = "The id {id} belongs to another retry; use a new id for each retry."


class BulkActionTaken(Conflict):
    """The id of a bulk action belongs to another one."""

    code = "bulk_action_taken"
    message = "The id {id} belongs to another bulk action; use a new id for each bulk action."


class RunMoved(Conflict):
    """The run changed after it was read."""

    code = "run_moved"
    message = "Flow run {id} changed in the meantime; read it again."


class WithoutFilter(DomainError):
    """The bulk action has no filter."""

    code = "without_filter"
    message = 'Name the runs: {{"flow_runs": {{…}}}}, "flows" or "deployments", as in /flow_runs/filter.'


class RunIdTaken(Conflict):
    code = "run_id_taken"
    message = "The id {id} belongs to another run; use a new id for each run."


class IdempotencyKeyTaken(Conflict):
    """The key belongs to a run that the user may not see."""

    code = "idempotency_key_taken"
    message = "The idempotency key {key!r} belongs to a run that you may not see; use another one."


class CodeInParameters(Protected):
    """The deployment that finds flows executes the code that its parameters name, so only a page may set these."""

    code = "code_in_parameters"
    message = (
        'Only the page "New deployment" may start runs that find flows, and set what they execute: their parameters '
        "decide which code runs."
    )


class JobVariablesUnused(DomainError):
    """The run has no deployment, so nothing would use its job variables."""

    code = "job_variables_unused"
    message = "A deployment for the flow run could not be found, so nothing would use its job variables."


class JobVariablesSettled(DomainError):
    code = "job_variables_settled"
    message = "Job variables of a run in state {state} cannot be changed; they are read when the run starts."


class InputExists(Conflict):
    code = "flow_run_input_exists"
    message = "Flow run {id} already has an input with the key {key!r}; delete it first."


class SavedSearchTaken(Conflict):
    code = "saved_search_taken"
    message = "There is another saved search called {name!r}; choose another name."
    field = "name"


class SavedSearchOfAnother(Protected):
    """The search was saved by another user."""

    code = "saved_search_of_another"
    message = "{name!r} was saved by {owner}. Only they or an admin may change it; save yours under another name."
    field = "name"
