"""What can be wrong with a request to the domain. None of it knows HTTP; `orchestration.api` gives each a status.

DomainError
├── NotFound: FlowNotFound, FlowRunNotFound, TaskRunNotFound, StateNotFound, ArtifactNotFound, LogNotFound,
│   SavedSearchNotFound, FlowRunInputNotFound, DeploymentNotFound, ConcurrencyLimitNotFound, GlobalLimitNotFound,
│   VariableNotFound, BlockTypeNotFound, BlockSchemaNotFound, BlockDocumentNotFound, WorkPoolNotFound,
│   WorkQueueNotFound, WorkerNotFound, SlotNotFound, AgentNotFound, ScheduleNotFound, CalendarNotFound
├── Conflict: InputExists, StateIdTaken, GlobalLimitExists, VariableExists, BlockTypeExists, BlockDocumentExists,
│   SchemaOfAnotherType, BlockHoldsItself, SecretsUnreadable, WorkPoolExists, WorkQueueExists, DefaultQueueStays,
│   SlotLost,
│   CalendarExists, CalendarInUse, ParametersMisfit, AgentNameTaken, AgentReplaced
├── NotResumable
├── TooManySlots, NotARate, BadBlockReference
├── SeveralSchedules, BadSchedule, BadCalendar, BadParameterSchema, BadJobTemplate, JobVariablesMisfit,
│   JobVariablesSettled
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


class GlobalLimitNotFound(NotFound):
    code = "global_limit_not_found"
    message = "Concurrency limit {name!r} not found."


class VariableNotFound(NotFound):
    code = "variable_not_found"
    message = "Variable not found."


class BlockTypeNotFound(NotFound):
    code = "block_type_not_found"
    message = "Block type {id} not found."


class BlockSchemaNotFound(NotFound):
    code = "block_schema_not_found"
    message = "Block schema {id} not found."


class BlockDocumentNotFound(NotFound):
    code = "block_document_not_found"
    message = "Block document {id} not found."


class SlotNotFound(NotFound):
    code = "slot_not_found"
    message = "Task run {task_run_id} holds no slot of tag {tag!r}."


class WorkPoolNotFound(NotFound):
    code = "work_pool_not_found"
    message = "Work pool {name!r} not found."


class WorkQueueNotFound(NotFound):
    code = "work_queue_not_found"
    message = "Work queue {name!r} not found."


class WorkerNotFound(NotFound):
    code = "worker_not_found"
    message = "Worker {name!r} not found."


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"
    message = "Schedule {id} not found."


class CalendarNotFound(NotFound):
    code = "calendar_not_found"
    message = "Calendar {name!r} not found."


class AgentNotFound(NotFound):
    code = "agent_not_found"
    message = "Agent {id} is not known here; register again."


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


class GlobalLimitExists(Conflict):
    code = "global_limit_exists"
    message = "There already is a concurrency limit with the name {name!r}; change that one."


class VariableExists(Conflict):
    code = "variable_exists"
    message = "There already is a variable with the name {name!r}; change that one."


class BlockTypeExists(Conflict):
    code = "block_type_exists"
    message = "There already is a block type with the slug {slug!r}; change that one."


class Protected(DomainError):
    """What belongs to the server, and whoever asks may not have done to it."""

    code = "protected"
    message = "This belongs to the server and stays as it is."


class BlockTypeProtected(Protected):
    code = "block_type_protected"
    # Clients know it by these very words.
    message = "protected block types cannot be deleted."


class BlockSchemaProtected(Protected):
    code = "block_schema_protected"
    message = "Programs count on the block type {slug!r}: it is protected, and its schemas cannot be deleted."


class BlockDocumentExists(Conflict):
    code = "block_document_exists"
    message = "There already is a block of this type with the name {name!r}; change that one."


class SchemaOfAnotherType(Conflict):
    code = "block_schema_of_another_type"
    message = "Block schema {id} belongs to another block type; name a schema of the document's own type."


class BlockHoldsItself(Conflict):
    code = "block_holds_itself"
    message = "Block document {id} would hold itself through its references; refer to another one."


class SecretsUnreadable(Conflict):
    """The key that sealed a block is not among those that this server has."""

    code = "block_secrets_unreadable"
    message = (
        "The secrets of block document {id} were sealed with a key that this server does not have; "
        "give it back in ORION_ENCRYPTION_KEYS or in the file {file}, or save the block anew."
    )


class AgentNameTaken(Conflict):
    code = "agent_name_taken"
    message = "An agent with the name {name!r} is alive on {host}; stop that one or choose another name."


class AgentReplaced(Conflict):
    """The agent left, or a later start of it registered; what it held is not its own any more."""

    code = "agent_replaced"
    message = "This start of agent {name!r} has ended as far as this server knows; register again, and stop its runs."


class WorkPoolExists(Conflict):
    code = "work_pool_exists"
    message = "There already is a work pool with the name {name!r}; change that one."


class WorkQueueExists(Conflict):
    code = "work_queue_exists"
    message = "Work pool {pool!r} already has a work queue with the name {name!r}; change that one."


class DefaultQueueStays(Conflict):
    code = "default_queue_stays"
    message = (
        "Work queue {name!r} is the default queue of its pool {pool!r} and cannot be deleted; "
        "it goes with its pool. Pause it if nothing shall start from it."
    )


class CalendarExists(Conflict):
    code = "calendar_exists"
    message = "There already is a calendar with the name {name!r}; change that one."


class CalendarInUse(Conflict):
    code = "calendar_in_use"
    message = "Calendar {name!r} is heeded by {schedules} schedules; take it out of them first."


class ParametersMisfit(Conflict):
    code = "parameters_misfit"
    message = "The parameters do not fit the schema of deployment {name!r}: {reason}"


class JobVariablesMisfit(DomainError):
    code = "job_variables_misfit"
    message = "The job variables do not fit the template of work pool {pool!r}: {reason}"


class JobVariablesSettled(DomainError):
    code = "job_variables_settled"
    message = "Job variables of a run in state {state} cannot be changed; they are read when the run begins."


class BadJobTemplate(DomainError):
    """A template of which no job can be made."""

    code = "bad_job_template"
    message = "base_job_template: {reason}"


class SeveralSchedules(DomainError):
    """A call that means the one schedule of a deployment, which has more."""

    code = "several_schedules"
    message = (
        "Deployment {id} has several schedules, and this call means its only one. "
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
    message = "parameter_openapi_schema is no JSON schema: {reason}"


class SlotLost(Conflict):
    """A lease ran out, was released by somebody else, or ended with the attempt that held it."""

    code = "slot_lost"
    message = (
        "The slot lease {id} is over, and others may have taken its slots: it ran out before it was renewed, was "
        "released, or its run's attempt ended. Take slots anew before going on."
    )


class TooManySlots(DomainError):
    code = "too_many_slots"
    message = "{slots} slots are more than the limit {name!r} has ({limit}); ask for fewer."


class NotARate(DomainError):
    code = "not_a_rate"
    message = "The limit {name!r} has no slot decay, so it is no rate limit; set slot_decay_per_second first."


class BadBlockReference(DomainError):
    code = "bad_block_reference"
    message = "{reason}"


class RunLost(DomainError):
    """A writer of an earlier attempt reported; the run was given to somebody else in the meantime."""

    code = "run_lost"
    message = (
        "Flow run {id} is no longer yours: attempt {epoch} was replaced by attempt {current}. Stop without reporting."
    )
