"""The flows that an agent found in some code: the form of its answer, and the limits for it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orionflow.contract.wire import JSONObject, Name, StrictWire

# The type of the artifact with the answer.
ARTIFACT_TYPE = "found-flows"

MOST_FLOWS = 200
MOST_PROBLEMS = 50
LONGEST_TEXT = 2_000
LARGEST_SCHEMA = 64 * 1024
# In characters: less than the API's default limit for one field.
LARGEST_ANSWER = 768 * 1024


class FoundFlow(StrictWire):
    """A flow that can be loaded, with its entry point and its parameters."""

    name: Name
    entrypoint: Annotated[str, Field(min_length=1, max_length=4096)]
    description: Annotated[str, Field(max_length=LONGEST_TEXT)] = ""
    version: Annotated[str, Field(max_length=255)] | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=255)]], Field(max_length=100)] = []
    parameters: JSONObject = {}


class UnloadableFile(StrictWire):
    """A file that seems to define flows but cannot be loaded, and the reason."""

    file: Annotated[str, Field(max_length=4096)]
    reason: Annotated[str, Field(max_length=LONGEST_TEXT)]


class FoundFlows(StrictWire):
    """The answer: `parameters` of each flow is their JSON schema. `left_out` is the number of further flows."""

    flows: Annotated[list[FoundFlow], Field(max_length=MOST_FLOWS)]
    problems: Annotated[list[UnloadableFile], Field(max_length=MOST_PROBLEMS)] = []
    files: Annotated[int, Field(ge=0, lt=2**31)] = 0
    left_out: Annotated[int, Field(ge=0, lt=2**31)] = 0
