"""The OpenAPI 3.1 document, generated from the operations: their paths, signatures, models and answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from typing import Any, Literal

from pydantic import TypeAdapter

import orion_site
from orchestration.api.operations import Operation, arguments_of, title_of
from orion_site.openapi.examples import Examples, operation_id

REF = "#/components/schemas/{model}"


def operations() -> Iterator[tuple[str, type[Operation]]]:
    """Yield every operation with its path below the API, as OpenAPI writes it, in the order of `urls_api`."""
    from orion_site.urls_api import api  # loads every operation

    for address in api:
        for operation in getattr(address.callback, "operations", ()):
            yield "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(address.pattern)), operation


@cache
def openapi() -> dict[str, Any]:
    found = list(operations())
    schemas = Schemas(found)
    examples = Examples(operation_id(operation.__name__) for _, operation in found)
    paths: dict[str, dict[str, Any]] = {}
    for path, operation in found:
        described = _operation(path, operation, schemas)
        examples.add_to(described)
        paths.setdefault(path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orion",
            "version": orion_site.__version__,
            "description": "Flows, runs and their states. What the rules decide comes with their reasons.",
        },
        "paths": paths,
        "components": {"schemas": {**schemas.definitions, **ERRORS}},
    }


class Schemas:
    """The JSON schemas of all requests and answers of operations, with unique names."""

    def __init__(self, found: list[tuple[str, type[Operation]]]) -> None:
        inputs: list[Any] = []
        for _, operation in found:
            taken = arguments_of(operation)
            inputs += [(("body", operation), "validation", taken.body)] if taken.body else []
            inputs += [(("query", operation), "validation", TypeAdapter(taken.query))] if taken.query else []
            inputs += [((name, operation), "validation", adapter) for name, adapter in taken.path.items()]
            inputs += [
                ((status, operation), "serialization", TypeAdapter(answer))
                for status, answer in operation.answers.items()
                if answer is not None
            ]
        self._schemas, shared = TypeAdapter.json_schemas(inputs, ref_template=REF)
        self.definitions: dict[str, Any] = shared.get("$defs", {})

    def of(self, part: Any, operation: type[Operation]) -> dict[str, Any]:
        mode: Literal["serialization", "validation"] = "serialization" if isinstance(part, int) else "validation"
        return self._schemas[((part, operation), mode)]

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        return self.definitions[name] if name else schema


def _operation(path: str, operation: type[Operation], schemas: Schemas) -> dict[str, Any]:
    summary, _, rest = cleandoc(operation.__doc__ or "").partition("\n\n")
    described: dict[str, Any] = {
        "operationId": operation_id(operation.__name__),
        "summary": title_of(operation),
        "description": f"{summary}\n\n{rest}".strip(),
        "tags": [path.split("/")[1]],
        "x-permission": operation.action_required,
        "responses": _responses(operation, schemas),
    }
    if parameters := list(_parameters(operation, schemas)):
        described["parameters"] = parameters
    if arguments_of(operation).body is not None:
        content = {"application/json": {"schema": schemas.of("body", operation)}}
        described["requestBody"] = {"required": not operation.body_optional, "content": content}
    return described


def _parameters(operation: type[Operation], schemas: Schemas) -> Iterator[dict[str, Any]]:
    taken = arguments_of(operation)
    for name in taken.path:
        yield {"name": name, "in": "path", "required": True, "schema": schemas.of(name, operation)}
    if taken.query is None:
        return
    query = schemas.resolved(schemas.of("query", operation))
    for name, schema in query["properties"].items():
        yield {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": schema}


def _responses(operation: type[Operation], schemas: Schemas) -> dict[str, Any]:
    taken = arguments_of(operation)
    responses: dict[str, Any] = {}
    for status, answer in operation.answers.items():
        schema = schemas.of(status, operation) if answer is not None else {"type": "null"}
        content = {} if status == 204 else {"content": {operation.media_type: {"schema": schema}}}
        responses[str(status)] = {"description": "Done." if status < 300 else "Refused.", **content}
    if taken.path:
        responses["404"] = _error("Not there.", "Problem")
    if taken.path or taken.body or taken.query:
        responses["422"] = _error("The request does not fit; each complaint names its place.", "InvalidRequest")
    if taken.body is not None:
        responses["413"] = _error("The body is too long; send it in parts.", "Problem")
    if operation.method != "GET":
        responses["409"] = _error("It contradicts stored data.", "Problem")
    responses["400"] = _error("The client expects another API.", "Problem")
    responses["503"] = _error("The database is busy; ask again.", "Problem")
    return dict(sorted(responses.items()))


def _error(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": REF.format(model=schema)}}}}


ERRORS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "What is wrong and what to do, under one of two keys.",
        "properties": {
            "detail": {"type": "string"},
            "exception_message": {"type": "string"},
            "code": {"type": "string"},
        },
    },
    "InvalidRequest": {
        "type": "object",
        "properties": {
            "detail": {"type": "string"},
            "exception_message": {"type": "string"},
            "exception_detail": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                        "msg": {"type": "string"},
                        "type": {"type": "string"},
                    },
                    "required": ["loc", "msg", "type"],
                },
            },
            "request_body": {},
        },
    },
}
