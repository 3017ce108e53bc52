"""The kinds of errors of the domain: what one of them means to whoever asked is settled by its kind."""

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


class Conflict(DomainError):
    """The request contradicts what is stored."""

    code = "conflict"
    message = "The request contradicts what is stored."


class Protected(DomainError):
    """What belongs to the server, and whoever asks may not have done to it."""

    code = "protected"
    message = "This belongs to the server and stays as it is."
