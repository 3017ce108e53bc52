"""Every call of the API as a value: what to ask, and the type of the answer. Both clients and the CLI send them.

A module for each subject: its collections, which know the paths, and functions that return a `Call` and do nothing
else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID

from orionflow.states import State
from orionflow.wire import state_to_wire

if TYPE_CHECKING:
    from pydantic import BaseModel

T_co = TypeVar("T_co", covariant=True)

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request to the API.

    `path` comes after `/api`; `read` is the type of the answer (None: it has no body worth reading), or a function
    that gives the type, so that models are built only where an answer is read as one; `idempotent` says whether it may
    be repeated when its answer was lost.
    """

    method: str
    path: str
    body: Any = None
    params: Mapping[str, Any] | None = None
    read: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = True


Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """All things of one kind: where the API has them, and the calls that every kind takes."""

    path: str
    # Gives the type of one of them.
    answer: Callable[[], Any]
    # The field that stands in the path of one, and what stands before it.
    key: str = "id"
    below: str = "/"
    # What stands behind the collection where one is created.
    end: str = "/"

    @property
    def name(self) -> str:
        """The name of their criteria in filters."""
        return self.path.strip("/")

    def one(self, key: UUID | str) -> str:
        """The path of one of them."""
        return f"{self.path}{self.below}{quote(str(key), safe='')}"

    def create(self, body: Any) -> Call[T]:
        """Make one."""
        return Call("POST", f"{self.path}{self.end}", body, read=self.answer)

    def read(self, key: UUID | str) -> Call[T]:
        """Read one."""
        return Call("GET", self.one(key), read=self.answer)

    def update(self, key: UUID | str, changes: Mapping[str, Any]) -> Call[None]:
        """Change these fields of one."""
        return Call("PATCH", self.one(key), dict(changes))

    def delete(self, key: UUID | str, **params: Any) -> Call[None]:
        """Delete one."""
        return Call("DELETE", self.one(key), params=params or None)

    def find(self, body: Mapping[str, Any]) -> Call[list[T]]:
        """List those that fit a filter."""
        return Call("POST", f"{self.path}/filter", dict(body), read=lambda: list[self.answer()])  # type: ignore[misc]

    def count(self, body: Mapping[str, Any]) -> Call[int]:
        """Count those that fit a filter."""
        return Call("POST", f"{self.path}/count", dict(body), read=int)


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value: what is not said is left to the server."""
    return {name: _wire(value) for name, value in fields.items() if value is not None}


def body(kind: type[BaseModel], **fields: Any) -> dict[str, Any]:
    """The body of a request: those of the fields of `kind` that have a value. The API judges the values."""
    if unknown := fields.keys() - kind.model_fields.keys():
        raise TypeError(f"{kind.__name__} has no field {', '.join(sorted(unknown))}")
    return present(**fields)


def _wire(value: Any) -> Any:
    return state_to_wire(value) if isinstance(value, State) else value


def selection(
    *,
    flows: Filter | None = None,
    flow_runs: Filter | None = None,
    task_runs: Filter | None = None,
    deployments: Filter | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The body of a filter: criteria by resource, and how to sort and cut."""
    return present(flows=flows, flow_runs=flow_runs, task_runs=task_runs, deployments=deployments, **more)


def names(tags: Sequence[str] | None) -> list[str] | None:
    return None if tags is None else list(tags)
