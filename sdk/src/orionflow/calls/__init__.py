"""Every call of the API as a value: what to ask, and the type of the answer. Both clients send the same ones.

A module for each subject; a function returns a `Call` and does nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from orionflow.states import State
from orionflow.wire import state_to_wire

if TYPE_CHECKING:
    from pydantic import BaseModel

T_co = TypeVar("T_co", covariant=True)

Filter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request to the API.

    `path` comes after `/api`; `read` is the type of the answer (None: it has no body worth reading);
    `idempotent` says whether it may be repeated when its answer was lost.
    """

    method: str
    path: str
    body: Any = None
    params: Mapping[str, Any] | None = None
    read: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotent: bool = True


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
