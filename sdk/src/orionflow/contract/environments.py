"""Environments on the wire: Python, packages, and the version of the code that a run executes with.

The id of an environment is a digest of its content (`orionflow.contract.ids`), which both sides compute. So each
distinct environment is stored once, and a client cannot change the content under an id that runs refer to.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from orionflow.contract.wire import Answer, StrictWire, Text255

MOST_PACKAGES = 2_000
PackageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.+!_-]{1,128}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{0,64}$")]


class EnvironmentContent(StrictWire):
    """Versions of Python and of packages by name, the commit of the code, and a digest of its files."""

    python: Text255
    platform: Text255
    commit: Digest = ""
    files: Digest = ""
    packages: Annotated[dict[PackageName, Version], Field(max_length=MOST_PACKAGES)] = {}


class Environment(Answer):
    """A stored environment."""

    id: UUID
    python: str
    platform: str
    commit: str = ""
    files: str = ""
    packages: dict[str, str] = {}
