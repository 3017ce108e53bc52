"""The kinds of errors of the domain, and the errors of proposals.

None of them knows HTTP; `orchestration.api.errors` gives each kind its status. The errors of other subjects are in
`runs.errors`, `deployments.errors`, `events.automations.errors` and `orion_site.accounts.errors`.

DomainError: the request is invalid as it is
├── NotFound: something that it names does not exist
├── Conflict: it contradicts stored data
└── Protected: it concerns something that belongs to the server, or that the user may not use
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from string import Formatter
from typing import Any, ClassVar

from orionflow.contract.names import quoted


class _Words(Formatter):
    """Writes `{name!r}` as a reader expects a name."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return (
            quoted(value) if conversion == "r" and isinstance(value, str) else super().convert_field(value, conversion)
        )


_WORDS = _Words()


class DomainError(Exception):
    """A request that cannot be fulfilled. `code` is for programs; the message says what is wrong and what to do."""

    code: ClassVar[str] = "error"
    message: ClassVar[str] = "The request cannot be fulfilled."
    # The field that is refused whenever this error is raised, if it is always the same one.
    field: ClassVar[str] = ""

    def __init__(self, *, place: Sequence[str | int] = (), **details: Any) -> None:
        self.details = details
        # The field of the request that is refused, and the way to it; empty if it is not one field.
        self.place = place or ((self.field,) if self.field else ())
        super().__init__(_WORDS.format(self.message, **details))


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


def not_found(thing: str, message: str) -> type[NotFound]:
    """Return the class of the error for a missing thing of one kind, with the code `<thing>_not_found`."""
    name = "".join(word.capitalize() for word in thing.split("_")) + "NotFound"
    # As for named tuples: the class belongs to the module that calls this.
    module = sys._getframe(1).f_globals["__name__"]
    members = {"code": f"{thing}_not_found", "message": message, "__module__": module}
    return type(name, (NotFound,), members)


FlowRunNotFound = not_found("flow_run", "Flow run with id {id} not found")
TaskRunNotFound = not_found("task_run", "Task run with id {id} not found")


class UnreadableName(DomainError):
    """A new object would have a name that people cannot read."""

    code = "unreadable_name"
    message = "{fault}."


class MadeAlready(Conflict):
    """A form that makes an object was sent twice."""

    code = "made_already"
    message = "This form has already made {kind}. Send it again to make another one."


class StateIdTaken(Conflict):
    code = "state_id_taken"
    message = "The state id {id} belongs to another run; use a new id for each proposal."


class RunLost(DomainError):
    """The report comes from an attempt that was replaced."""

    code = "run_lost"
    message = (
        "Flow run {id} is no longer yours: attempt {epoch} was replaced by attempt {current}. Stop without reporting."
    )
