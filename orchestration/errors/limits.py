"""What can be wrong with requests about concurrency limits and their slots."""

from __future__ import annotations

from orchestration.errors.kinds import Conflict, DomainError, NotFound


class ConcurrencyLimitNotFound(NotFound):
    code = "concurrency_limit_not_found"
    message = "There is no concurrency limit on {tag!r}."


class GlobalLimitNotFound(NotFound):
    code = "global_limit_not_found"
    message = "Concurrency limit {name!r} not found."


class SlotNotFound(NotFound):
    code = "slot_not_found"
    message = "Task run {task_run_id} holds no slot of tag {tag!r}."


class GlobalLimitExists(Conflict):
    code = "global_limit_exists"
    message = "There already is a concurrency limit with the name {name!r}; change that one."


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
