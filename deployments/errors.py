"""The errors of deployments, schedules, work, agents, limits and blocks, in addition to `orchestration.errors`."""

from __future__ import annotations

from orchestration.errors import Conflict, DomainError, Protected, not_found

# --- Deployments, their parameters, schedules and calendars ----------------------------------------------------------

DeploymentNotFound = not_found("deployment", "Deployment {id} not found.")
ScheduleNotFound = not_found("schedule", "Schedule {id} not found.")
CalendarNotFound = not_found("calendar", "Calendar {name!r} not found.")
BackfillNotFound = not_found("backfill", "Backfill {id} not found.")


class DeploymentExists(Conflict):
    code = "deployment_exists"
    message = "Flow {flow!r} has a deployment with the name {name!r} already; choose another name."
    field = "name"


class BackfillExists(Conflict):
    code = "backfill_exists"
    message = "There is already a backfill with the name {name!r}; choose another name."
    field = "name"


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
    field = "name"


class CalendarInUse(Conflict):
    code = "calendar_in_use"
    message = "Calendar {name!r} is named by {schedules}; remove it from there first, or delete it by force."


class ParametersMisfit(Conflict):
    code = "parameters_misfit"
    message = "The parameters do not fit the schema of deployment {name!r}: {reason}"


class JobVariablesMisfit(DomainError):
    code = "job_variables_misfit"
    message = "The job variables do not fit the template of work pool {pool!r}: {reason}"


class SeveralSchedules(DomainError):
    """The call needs a deployment with one schedule, and this one has several."""

    code = "several_schedules"
    message = (
        "Deployment {id} has several schedules, and this call is for deployments with one. "
        "Change one of them by its id, or all of them with PATCH /deployments/{id} and paused."
    )


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
    field = "name"


class WorkQueueExists(Conflict):
    code = "work_queue_exists"
    message = "Work pool {pool!r} already has a work queue with the name {name!r}; change that one."
    field = "name"


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
    message = "Work pools whose name starts with 'prefect' are reserved for internal use; {name!r} cannot be {action}."


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
    message = (
        "Agent {name!r} was registered with the key of another user, and only that user may use it. Choose another "
        "name, or let somebody who may change work pools delete it."
    )


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
    field = "name"


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
    field = "name"


class BlockTypeExists(Conflict):
    code = "block_type_exists"
    message = "There is already a block type with the slug {slug!r}; change that one."


class BlockDocumentExists(Conflict):
    code = "block_document_exists"
    message = "There is already a block of this type with the name {name!r}; change that one."
    field = "name"


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


class SecretsNotYours(Protected):
    """The user may not read the secrets that the deployment declares."""

    code = "secrets_not_yours"
    message = "You may not let a deployment read the secrets of {names}: {reason} Ask a user who may read secrets."


class SecretNotDeclared(Protected):
    """The deployment of the run does not declare the secret."""

    code = "secret_not_declared"
    message = "{reason}"


# --- Settings --------------------------------------------------------------------------------------------------------

SettingNotFound = not_found("setting", "There is no setting {id} that may change while the server runs.")


class BadSetting(DomainError):
    code = "bad_setting"
    message = "{reason}"
