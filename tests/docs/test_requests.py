"""Requests that pages show as commands of curl: the path exists, and the operation accepts the body."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.urls import resolve

from orchestration.api.operations import arguments_of
from tests.docs.blocks import commands_of, every_block

AN_ID = str(UUID(int=1))
# What the shell puts into commands: variables and outputs of other commands, which are ids but for these.
FILLED_IN = {"$ORION_API_URL": "http://127.0.0.1:4200/api", "$(date -Is)": "2026-01-05T12:00:00+01:00", "…": AN_ID}


def requests() -> Iterator[tuple[str, str, str]]:
    """Yield the page, the path and the body of each."""
    for block in every_block("console", "sh", "bash"):
        for command in commands_of(block):
            typed = command.typed.replace("\\\n", " ")
            for sign, value in FILLED_IN.items():
                typed = typed.replace(sign, value)
            words = shlex.split(re.sub(r"\$\([^)]*\)|\$[A-Z_]+", AN_ID, typed), comments=True)
            if "curl" in words and "-d" in words and (body := words[words.index("-d") + 1])[0] in "[{":
                (address,) = (one for one in words if ":4200/api" in one)
                yield block.page.name, "/api" + address.partition(":4200/api")[2], body


REQUESTS = list(requests())


def test_there_are_requests():
    assert len(REQUESTS) >= 4


@pytest.mark.parametrize(("page", "path", "body"), REQUESTS, ids=[f"{page} {path}" for page, path, _ in REQUESTS])
def test_an_operation_accepts_the_body(page: str, path: str, body: str):
    operations = {one.method: one for one in resolve(path).func.operations}  # type: ignore[attr-defined]

    adapter = arguments_of(operations["POST"]).body

    assert adapter is not None
    adapter.validate_json(body)
