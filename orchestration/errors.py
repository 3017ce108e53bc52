"""The errors of the domain. None of them knows HTTP; `orchestration.api.errors` gives each kind its status.

DomainError: the request is invalid as it is
├── NotFound: something that it names does not exist
├── Conflict: it contradicts stored data
└── Protected: it concerns something that belongs to the server, or that the user may not use
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A request that cannot be fulfilled. `code` is for programs; the message says what is wrong and what to do."""

    code: ClassVar[str] = "error"
    message: ClassVar[str] = "The request cannot be fulfilled."

    def __init__(self, **details: Any) -> None:
        self.details = details
        super().__init__(self.message.format(**details))


class NotFound(DomainError):
    """Something that the request names does not exist."""

    code = "not_found"
    message = "Not found."


class Conflict(DomainError):
    """The request contradicts stored data."""

    code = "conflict"
    message = "The request contradicts stored data."


class Protected(DomainError):
    """The object belongs to the server."""

    code = "protected"
    message = "This belongs to the server and cannot be changed."


class BeyondRights(Protected):
    """The user has rights on named objects only, and this is another one."""

    code = "beyond_rights"
    message = "Your role covers only named objects; {what} needs a role that covers all of them."


class SecretsNotYours(Protected):
    """The user may not read the secrets that the deployment declares."""

    code = "secrets_not_yours"
    message = "You may not let a deployment read the secrets of {names}: {reason} Ask a user who may read secrets."


class SecretNotDeclared(Protected):
    """The deployment of the run does not declare the secret."""

    code = "secret_not_declared"
    message = "{reason}"


def not_found(thing: str, message: str) -> type[NotFound]:
    """Return the class of the error for a missing thing of one kind, with the code `<thing>_not_found`."""
    name = "".join(word.capitalize() for word in thing.split("_")) + "NotFound"
    members = {"code": f"{thing}_not_found", "message": message, "__module__": __name__}
    return type(name, (NotFound,), members)


# --- Flows, runs, and what is recorded of them -----------------------------------------------------------------------

FlowNotFound = not_found("flow", "Flow {id} not found.")
FlowRunNotFound = not_found("flow_run", "Flow run with id {id} not found")
TaskRunNotFound = not_found("task_run", "Task run with id {id} not found")
SettingNotFound = not_found("setting", "There is no setting {id} that may change while the server runs.")
ArtifactNotFound = not_found("artifact", "Artifact {id} not found.")
SavedSearchNotFound = not_found("saved_search", "Saved search {id} not found.")
FlowRunInputNotFound = not_found("flow_run_input", "Flow run {id} has no input with the key {key!r}.")
ProblemNotFound = not_found("problem", "Problem {id} not found.")
BulkActionNotFound = not_found("bulk_action", "Bulk action {id} not found.")


class UnreadableName(DomainError):
    """A new object would have a name that people cannot read."""

    code = "unreadable_name"
    message = "{fault}."


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
    """The parameters of a run that searches for flows decide which code runs, so only a page may start one."""

    code = "code_in_parameters"
    message = 'Only the page "New deployment" may start runs that find flows: their parameters decide which code runs.'


class JobVariablesUnused(DomainError):
    """The run has no deployment, so nothing would use its job variables."""

    code = "job_variables_unused"
    message = "A deployment for the flow run could not be found, so nothing would use its job variables."


class InputExists(Conflict):
    code = "flow_run_input_exists"
    message = "Flow run {id} already has an input with the key {key!r}; delete it first."


class StateIdTaken(Conflict):
    code = "state_id_taken"
    message = "The state id {id} belongs to another run; use a new id for each proposal."


class RunLost(DomainError):
    """The report comes from an attempt that was replaced."""

    code = "run_lost"
    message = (
        "Flow run {id} is no longer yours: attempt {epoch} was replaced by attempt {current}. Stop without reporting."
    )


# --- Deployments, their parameters, schedules and calendars ----------------------------------------------------------

DeploymentNotFound = not_found("deployment", "Deployment {id} not found.")
ScheduleNotFound = not_found("schedule", "Schedule {id} not found.")
CalendarNotFound = not_found("calendar", "Calendar {name!r} not found.")
BackfillNotFound = not_found("backfill", "Backfill {id} not found.")


class DeploymentExists(Conflict):
    code = "deployment_exists"
    message = "Flow {flow!r} has a deployment with the name {name!r} already; choose another name."


class BackfillExists(Conflict):
    code = "backfill_exists"
    message = "There is already a backfill with the name {name!r}; choose another name."


class BackfillEnded(Conflict):
    code = "backfill_ended"
    message = "Backfill {name!r} is {status}; create another one for the missing times."


class BadBackfill(DomainError):
    """The times of the backfill cannot be computed, or there are none."""

    code = "bad_backfill"
    message = "{reason}"


class CalendarExists(Conflict):
    code = "calendar_exists"
    message = "There is already a calendar with the name {name!r}; change that one."


class CalendarInUse(Conflict):
    code = "calendar_in_use"
    message = "Calendar {name!r} is named by {schedules}; remove it from there first, or delete it by force."


class ParametersMisfit(Conflict):
    code = "parameters_misfit"
    message = "The parameters do not fit the schema of deployment {name!r}: {reason}"


class JobVariablesMisfit(DomainError):
    code = "job_variables_misfit"
    message = "The job variables do not fit the template of work pool {pool!r}: {reason}"


class JobVariablesSettled(DomainError):
    code = "job_variables_settled"
    message = "Job variables of a run in state {state} cannot be changed; they are read when the run starts."


class SeveralSchedules(DomainError):
    """The call needs a deployment with one schedule, and this one has several."""

    code = "several_schedules"
    message = (
        "Deployment {id} has several schedules, and this call is for deployments with one. "
        "Change one of them by its id, or all of them with PATCH /deployments/{id} and paused."
    )


class SavedSearchTaken(Conflict):
    code = "saved_search_taken"
    message = "There is another saved search called {name!r}; choose another name."


class BadSetting(DomainError):
    code = "bad_setting"
    message = "{reason}"


class BadSchedule(DomainError):
    code = "bad_schedule"
    message = "{reason}"


class BadCalendar(DomainError):
    code = "bad_calendar"
    message = "{reason}"


class BadParameterSchema(DomainError):
    code = "bad_parameter_schema"
    message = "parameter_openapi_schema is not a JSON schema: {reason}"


# --- Work pools, their queues, and the agents and workers that ask them for runs -------------------------------------

WorkPoolNotFound = not_found("work_pool", "Work pool {name!r} not found.")
WorkQueueNotFound = not_found("work_queue", "Work queue {name!r} not found.")
WorkerNotFound = not_found("worker", "Worker {name!r} not found.")
AgentNotFound = not_found("agent", "Agent {id} is not known to this server; register again.")


class WorkPoolExists(Conflict):
    code = "work_pool_exists"
    message = "There is already a work pool with the name {name!r}; change that one."


class WorkQueueExists(Conflict):
    code = "work_queue_exists"
    message = "Work pool {pool!r} already has a work queue with the name {name!r}; change that one."


class DefaultQueueStays(Conflict):
    code = "default_queue_stays"
    message = (
        "Work queue {name!r} is the default queue of its pool {pool!r} and cannot be deleted; "
        "it is deleted with its pool. Pause it if no runs from it should start."
    )


class WorkPoolInUse(Conflict):
    code = "work_pool_in_use"
    message = (
        "Work pool {name!r} is used by {users}, whose runs no agent would start any more. Deploy them elsewhere "
        "first, or delete it with ?force=true (orion work-pool delete {name} --force)."
    )


class WorkQueueInUse(Conflict):
    code = "work_queue_in_use"
    message = (
        "Work queue {name!r} is used by {users}, whose runs no agent would start any more. Deploy them elsewhere "
        "first, or delete it with ?force=true (orion work-queue delete {name} --force)."
    )


class WorkPoolReserved(Protected):
    """Prefect reserves these names, and its clients refuse them."""

    code = "work_pool_reserved"
    message = "Work pools whose name starts with 'prefect' are reserved for internal use; {name!r} cannot be {wish}."


class BadJobTemplate(DomainError):
    """The template does not describe a job."""

    code = "bad_job_template"
    message = "base_job_template: {reason}"


class AgentNameTaken(Conflict):
    code = "agent_name_taken"
    message = "An agent with the name {name!r} is running on {host}; stop that one or choose another name."


class AgentOfAnother(Protected):
    """The agent was registered with the key of another user."""

    code = "agent_of_another"
    message = "Agent {name!r} was registered with the key of another user, and only that user may use it."


class RunOfAnother(Conflict):
    """The agent does not hold the run."""

    code = "run_of_another"
    message = "Agent {name!r} does not hold run {id}, so it may not report about it."


class AgentReplaced(Conflict):
    """The agent has left, or a later start of it has registered. Its runs were revoked."""

    code = "agent_replaced"
    message = "Agent {name!r} has left, or a later start of it has replaced this one; stop its runs and register again."


# --- Concurrency limits and their slots ------------------------------------------------------------------------------

ConcurrencyLimitNotFound = not_found("concurrency_limit", "There is no concurrency limit on {tag!r}.")
GlobalLimitNotFound = not_found("global_limit", "Concurrency limit {name!r} not found.")
SlotNotFound = not_found("slot", "Task run {task_run_id} holds no slot of tag {tag!r}.")


class GlobalLimitExists(Conflict):
    code = "global_limit_exists"
    message = "There is already a concurrency limit with the name {name!r}; change that one."


class SlotLost(Conflict):
    """The lease has expired, was released, or ended with its attempt."""

    code = "slot_lost"
    message = (
        "The slot lease {id} has ended, and its slots may be taken: it expired before it was renewed, was "
        "released, or its run's attempt ended. Take new slots before you continue."
    )


class TooManySlots(DomainError):
    code = "too_many_slots"
    message = "{slots} slots are more than the limit {name!r} has ({limit}); ask for fewer."


class NotARate(DomainError):
    code = "not_a_rate"
    message = "The limit {name!r} has no slot decay, so it is not a rate limit; set slot_decay_per_second first."


# --- Variables and blocks --------------------------------------------------------------------------------------------

VariableNotFound = not_found("variable", "Variable not found.")
BlockTypeNotFound = not_found("block_type", "Block type {id} not found.")
BlockSchemaNotFound = not_found("block_schema", "Block schema {id} not found.")
BlockDocumentNotFound = not_found("block_document", "Block document {id} not found.")


class VariableExists(Conflict):
    code = "variable_exists"
    message = "There is already a variable with the name {name!r}; change that one."


class BlockTypeExists(Conflict):
    code = "block_type_exists"
    message = "There is already a block type with the slug {slug!r}; change that one."


class BlockDocumentExists(Conflict):
    code = "block_document_exists"
    message = "There is already a block of this type with the name {name!r}; change that one."


class SchemaOfAnotherType(Conflict):
    code = "block_schema_of_another_type"
    message = "Block schema {id} belongs to another block type; name a schema of the document's own type."


class BlockHoldsItself(Conflict):
    code = "block_holds_itself"
    message = "Block document {id} would contain itself through its references; refer to another one."


class SecretsUnreadable(Conflict):
    """The server does not have the key that encrypted the block."""

    code = "block_secrets_unreadable"
    message = (
        "The secrets of block document {id} were sealed with a key that this server does not have; "
        "add the key to ORION_ENCRYPTION_KEYS or to the file {file}, or save the block again."
    )


class BlockTypeProtected(Protected):
    code = "block_type_protected"
    # Clients recognise the error by these exact words.
    message = "protected block types cannot be deleted."


class BlockSchemaProtected(Protected):
    code = "block_schema_protected"
    message = "The block type {slug!r} is protected, because programs depend on it: its schemas cannot be deleted."


class BadBlockReference(DomainError):
    code = "bad_block_reference"
    message = "{reason}"
