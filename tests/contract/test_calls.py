"""The calls of the SDK and the operations of the server agree: on paths, on fields of bodies, and on answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_args, get_origin
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter

from orchestration.api.operations import Operation, arguments_of
from orchestration.api.pagination import Page
from orion_site.openapi.document import operations
from orionflow import calls
from orionflow.calls import Call, Collection
from orionflow.contract.wire import Shaped
from orionflow.states import Completed
from runs.lists.filters.conditions import Filter

ID = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
ARGUMENTS: dict[str, Any] = {
    "UUID": ID,
    "str": "some/thing",
    "int": 1,
    "float": 1.5,
    "bool": True,
    "datetime": datetime(2030, 1, 1, tzinfo=UTC),
    "timedelta": timedelta(hours=1),
    "State": Completed(),
    "Mapping": {},
    "Filter": {},
    "Attempts": [(ID, 1)],
    "Any": {"value": 1},
}
# Calls that are made with the answer of another call, or for a kind of run that the caller names.
NOT_CALLED_ALONE = {"create_block", "read_holders", "propose_state", "read_history", "read_states", "explain"}
# Only clients of Prefect ask these, and are refused.
ASKED_OF_PREFECT = {"Confirmation", "CsrfQuestion"}


def _modules() -> Iterator[Any]:
    for module in iter_modules(calls.__path__, "orionflow.calls."):
        yield import_module(module.name)


def _argument(annotation: str) -> Any:
    if annotation.startswith("Sequence["):
        return [_argument(annotation.removeprefix("Sequence["))]
    if annotation.startswith("Literal["):
        return re.findall(r"[\"'](\w+)[\"']", annotation)[0]
    return ARGUMENTS[re.findall(r"\w+", annotation)[0]]


def _called(function: Any) -> Call[Any] | Collection[Any]:
    """Call it with something for every parameter, so that each field that it can send is sent."""
    given = {
        name: _argument(str(one.annotation))
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    made: Call[Any] | Collection[Any] = function(**given)
    return made


def _found() -> Iterator[tuple[str, Call[Any]]]:
    for module in _modules():
        for name, one in vars(module).items():
            if inspect.isfunction(one) and one.__module__ == module.__name__ and name not in NOT_CALLED_ALONE:
                one = None if name.startswith("_") else _called(one)
            if isinstance(one, Collection):
                yield from _calls_of(name, one)
            elif isinstance(one, Call):
                yield name, one


def _calls_of(name: str, collection: Collection[Any]) -> Iterator[tuple[str, Call[Any]]]:
    """The calls of a collection; not every collection takes all of them."""
    made = {"create": collection.create({}), "read": collection.read(ID), "find": collection.find({})}
    taken = {f"{name}.{verb}": call for verb, call in made.items() if _operation(call)}
    assert taken, f"No operation has {collection.path}"
    yield from taken.items()


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], type[Operation]]]:
    return [
        (one.method, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), one) for path, one in operations()
    ]


def _operation(call: Call[Any]) -> type[Operation] | None:
    found = (one for method, path, one in _patterns() if method == call.method and path.fullmatch(call.path))
    return next(found, None)


def _fields(adapter: TypeAdapter[Any] | None) -> set[str]:
    """The fields of a body; of a list, those of each of its items."""
    kind = _class_of(adapter)
    return set(kind.model_fields) if kind is not None else set()


def _class_of(adapter: TypeAdapter[Any] | None) -> type[BaseModel] | None:
    kind = adapter._type if adapter is not None else None
    while kind is not None and not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
        kind = next(iter(get_args(kind)), None)
    return kind


def _kind(answer: Any) -> Any:
    """The model of an answer, with the lists around it."""
    if get_origin(answer) is list:
        return [_kind(get_args(answer)[0])]
    shapes = [one.kind for one in getattr(answer, "__metadata__", ()) if isinstance(one, Shaped)]
    return shapes[0] if shapes else answer


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Call[Any], type[Operation]]]:
    """Every call with the operation that answers it."""
    found = {name: (call, _operation(call)) for name, call in _found()}
    assert {name for name, (_, operation) in found.items() if operation is None} == set()
    return {name: (call, operation) for name, (call, operation) in found.items() if operation is not None}


def test_every_call_sends_fields_of_its_operation(made: dict[str, tuple[Call[Any], type[Operation]]]):
    unknown = {name: _unknown(call, operation) for name, (call, operation) in made.items()}

    assert {name: fields for name, fields in unknown.items() if fields} == {}
    assert len(made) > 100


def _unknown(call: Call[Any], operation: type[Operation]) -> set[str]:
    taken = arguments_of(operation)
    sent = call.body[0] if isinstance(call.body, list) else call.body
    query = {one.alias or name for name, one in taken.query.model_fields.items()} if taken.query else set()
    return (set(sent or ()) - _fields(taken.body)) | (set(call.params or ()) - query)


def test_every_call_reads_the_answer_of_its_operation(made: dict[str, tuple[Call[Any], type[Operation]]]):
    others = {name: call.read for name, (call, operation) in made.items() if not _reads(call, operation)}

    assert others == {}


def _reads(call: Call[Any], operation: type[Operation]) -> bool:
    answered = _kind(next(iter(operation.answers.values())))
    read = _kind(call.read() if inspect.isfunction(call.read) else call.read)
    while isinstance(read, list) and isinstance(answered, list):
        read, answered = read[0], answered[0]
    if read in (None, Any) or not (inspect.isclass(answered) and issubclass(answered, BaseModel)):
        return True
    # Programs get models of their own where the contract's have no methods: states, and what holds them.
    return inspect.isclass(read) and (issubclass(read, answered) or issubclass(answered, read))


def test_requests_are_classes_of_the_contract_except_searches():
    kinds = {kind for _, operation in operations() for kind in _classes_of(operation)}

    others = {kind for kind in kinds if not kind.__module__.startswith("orionflow.contract.") and not _is_search(kind)}

    assert {kind.__name__ for kind in others} == ASKED_OF_PREFECT


def _classes_of(operation: type[Operation]) -> Iterator[type[BaseModel]]:
    taken = arguments_of(operation)
    yield from (kind for kind in (_class_of(taken.body), taken.query) if kind is not None)


def _is_search(kind: type[BaseModel]) -> bool:
    """Whether it has a page, or filters, whose fields are columns of the server."""
    parts = [part for one in kind.model_fields.values() for part in (one.annotation, *get_args(one.annotation))]
    return issubclass(kind, Page) or any(inspect.isclass(part) and issubclass(part, Filter) for part in parts)
