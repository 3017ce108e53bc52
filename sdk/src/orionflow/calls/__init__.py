"""Every call of the API as a value: the request, and the type of the answer. Both clients and the CLI send them.

Each subject has a module: its collections, which know the paths, and functions that only return a `Call`.
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

    `path` follows `/api`. `read` is the type of the answer (None: no useful body), or a function that returns the type,
    so that models are only built if an answer is read. `idempotent` says whether the call may be repeated if its answer
    was lost.
    """

    method: str
    path: str
    body: Any = None
    params: Mapping[str, Any] | None = None
    read: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = True


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Collection(Generic[T]):
    """All objects of one kind: their path in the API, and the calls that every kind supports."""

    path: str
    # Returns the type of one object.
    answer: Callable[[], Any]
    # The field that identifies one object in its path, and the text before it.
    key: str = "id"
    below: str = "/"
    # The end of the path where objects are created.
    end: str = "/"

    @property
    def name(self) -> str:
        """The name of their criteria in filters."""
        return self.path.strip("/")

    def one(self, key: UUID | str) -> str:
        """Return the path of one object."""
        return f"{self.path}{self.below}{quote(str(key), safe='')}"

    def create(self, body: Any) -> Call[T]:
        """Create an object."""
        return Call("POST", f"{self.path}{self.end}", body, read=self.answer)

    def read(self, key: UUID | str) -> Call[T]:
        """Read one object."""
        return Call("GET", self.one(key), read=self.answer)

    def update(self, key: UUID | str, changes: Mapping[str, Any]) -> Call[None]:
        """Change these fields of one object."""
        return Call("PATCH", self.one(key), dict(changes))

    def delete(self, key: UUID | str, **params: Any) -> Call[None]:
        """Delete one object."""
        return Call("DELETE", self.one(key), params=params or None)

    def find(self, body: Mapping[str, Any]) -> Call[list[T]]:
        """List the objects that match a filter."""
        return Call("POST", f"{self.path}/filter", dict(body), read=lambda: list[self.answer()])  # type: ignore[misc]

    def count(self, body: Mapping[str, Any]) -> Call[int]:
        """Count the objects that match a filter."""
        return Call("POST", f"{self.path}/count", dict(body), read=int)


def present(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value, in JSON form; omitted fields are left to the server."""
    return {name: _wire(value) for name, value in fields.items() if value is not None}


def body(kind: type[BaseModel], **fields: Any) -> dict[str, Any]:
    """Return the body of a request: the fields of `kind` that have a value. The API validates the values."""
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
    """Return the body of a filter: criteria by resource, sorting and limits."""
    return present(flows=flows, flow_runs=flow_runs, task_runs=task_runs, deployments=deployments, **more)


def names(tags: Sequence[str] | None) -> list[str] | None:
    return None if tags is None else list(tags)
