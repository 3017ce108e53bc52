"""Pull steps that refer to what the server has: variables and secrets, read where the code is fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orionflow.calls import Call
from orionflow.errors import CodeUnavailable
from orionflow.storage.secrets import Secret, resolved
from orionflow.testing import Isolated


def ask(orion: Isolated, method: str, path: str, body: Any = None) -> Any:
    call: Call[bytes] = Call(method, path, body, read=bytes)
    content = orion.client.send(call)
    return json.loads(content) if content else None


def test_variable_of_the_server_is_filled_in(orion):
    ask(orion, "POST", "/variables/", {"name": "branch", "value": "main"})

    assert resolved({"branch": "{{ prefect.variables.branch }}", "at": ["x-{{ orion.variables.branch }}"]}, {}) == {
        "branch": "main",
        "at": ["x-main"],
    }


def test_secret_of_the_server_is_filled_in(orion):
    ask(orion, "POST", "/block_types/install_system_block_types")
    kind = ask(orion, "GET", "/block_types/slug/secret")
    fields = {"type": "object", "properties": {"value": {"type": "string"}}, "secret_fields": ["value"]}
    schema = ask(orion, "POST", "/block_schemas/", {"block_type_id": kind["id"], "fields": fields})
    body = {"name": "github", "block_type_id": kind["id"], "block_schema_id": schema["id"], "data": {"value": "s3cret"}}
    ask(orion, "POST", "/block_documents/", body)

    assert resolved(Secret("github").reference, {}) == "s3cret"


@pytest.mark.parametrize("reference", ["{{ prefect.variables.nothing }}", "{{ prefect.blocks.secret.nothing }}"])
def test_references_to_missing_objects_are_named(reference):
    with pytest.raises(CodeUnavailable, match="nothing"):
        resolved(reference, {})


def test_name_is_a_name_and_no_path(orion):
    ask(orion, "POST", "/variables/", {"name": "branch", "value": "main"})

    with pytest.raises(CodeUnavailable, match="cannot be read"):
        resolved("{{ prefect.variables.branch?x=1 }}", {})
    with pytest.raises(CodeUnavailable, match="cannot be read"):
        resolved("{{ prefect.blocks.secret.x/../../../../../variables/name/branch }}", {})
