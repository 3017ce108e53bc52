"""What can be wrong with requests about work pools, their queues, and the agents and workers that ask them for runs."""

from __future__ import annotations

from orchestration.errors.kinds import Conflict, DomainError, NotFound, Protected


class WorkPoolNotFound(NotFound):
    code = "work_pool_not_found"
    message = "Work pool {name!r} not found."


class WorkQueueNotFound(NotFound):
    code = "work_queue_not_found"
    message = "Work queue {name!r} not found."


class WorkerNotFound(NotFound):
    code = "worker_not_found"
    message = "Worker {name!r} not found."


class AgentNotFound(NotFound):
    code = "agent_not_found"
    message = "Agent {id} is not known here; register again."


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


class WorkPoolInUse(Conflict):
    code = "work_pool_in_use"
    message = (
        "Work pool {name!r} is used by {users}, which nobody would run any more. Deploy them elsewhere first, or "
        "delete it all the same with ?force=true (orion work-pool delete {name} --force)."
    )


class WorkQueueInUse(Conflict):
    code = "work_queue_in_use"
    message = (
        "Work queue {name!r} is used by {users}, which nobody would run any more. Deploy them elsewhere first, or "
        "delete it all the same with ?force=true (orion work-queue delete {name} --force)."
    )


class WorkPoolReserved(Protected):
    """Prefect's own servers keep such names for themselves, and its clients refuse them."""

    code = "work_pool_reserved"
    message = "Work pools whose name starts with 'prefect' are reserved for internal use; {name!r} cannot be {wish}."


class BadJobTemplate(DomainError):
    """A template of which no job can be made."""

    code = "bad_job_template"
    message = "base_job_template: {reason}"


class AgentNameTaken(Conflict):
    code = "agent_name_taken"
    message = "An agent with the name {name!r} is alive on {host}; stop that one or choose another name."


class AgentReplaced(Conflict):
    """The agent left, or a later start of it registered; what it held is not its own any more."""

    code = "agent_replaced"
    message = "This start of agent {name!r} has ended as far as this server knows; register again, and stop its runs."
