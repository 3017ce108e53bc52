"""Dimensions in which runs can agree: parameters, tags, where and when they ran, their code. Values are texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orionflow.contract.masking import MASK, NAMES_A_SECRET

LONGEST_VALUE = 120
MOST_PARAMETERS, MOST_FIELDS, MOST_TAGS = 50, 20, 20
NOT_SET = "not set"
HOURS = tuple(f"{hour:02}:00 to {hour:02}:59" for hour in range(24))
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Stands for a large parameter that the query did not read.
OMITTED = "__orion_omitted__"


@dataclass(frozen=True, slots=True)
class SampledRun:
    """One run, as far as it is compared. An empty text means that the value was not recorded."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    due: datetime | None = None
    attempts: int = 0
    version: str = ""
    deployment: str = ""
    deployment_version: str = ""
    queue: str = ""
    pool: str = ""
    agent: str = ""
    host: str = ""
    created_by: str = ""
    python: str = ""
    platform: str = ""
    commit: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


# Attributes that are texts, with the names of their dimensions.
FACTS = {
    "version": "flow version",
    "deployment": "deployment",
    "deployment_version": "deployment version",
    "queue": "work queue",
    "pool": "work pool",
    "agent": "agent",
    "host": "host",
    "created_by": "created by",
    "python": "Python",
    "platform": "platform",
    "commit": "commit",
}
# Prefixes of dimensions that have names of their own, such as parameters and packages.
PARAMETER, SIZE, PACKAGE, TAG = "parameter", "size of parameter", "package", "tag"


def values_of(run: SampledRun) -> Iterator[tuple[str, str]]:
    """Yield dimension and value of everything except parameters."""
    for attribute, words in FACTS.items():
        if text := getattr(run, attribute):
            yield words, text[:LONGEST_VALUE]
    if run.attempts:
        yield "attempts", str(run.attempts)
    if run.due:
        yield "hour", HOURS[run.due.hour]
        yield "weekday", DAYS[run.due.weekday()]
    for tag in list(dict.fromkeys(run.tags))[:MOST_TAGS]:
        yield f"{TAG} {tag[:LONGEST_VALUE]}", "yes"
    for name, version in run.packages.items():
        yield f"{PACKAGE} {name}", version


def parameters_of(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str | float]]:
    """Yield dimension and value of parameters, one level down: numbers as such, other values as texts."""
    for name, value in list(parameters.items())[:MOST_PARAMETERS]:
        if isinstance(value, dict) and value and OMITTED not in value:
            for key, inner in list(value.items())[:MOST_FIELDS]:
                yield from _value(f"{name}.{key}", inner)
        else:
            yield from _value(name, value)


def _value(name: str, value: Any) -> Iterator[tuple[str, str | float]]:
    dimension = f"{PARAMETER} {name[:LONGEST_VALUE]}"
    match value:
        case _ if NAMES_A_SECRET.search(name):
            yield dimension, MASK
        case bool() | None:
            yield dimension, "null" if value is None else str(value).lower()
        case int() | float():
            yield dimension, float(value)
        case dict() if OMITTED in value:
            yield f"{SIZE} {name}", float(value[OMITTED].get("bytes", 0))
        case list() | dict():
            yield f"{SIZE} {name}", float(len(value))
        case str() if len(value) > LONGEST_VALUE:
            yield f"{SIZE} {name}", float(len(value))
        case _:
            yield dimension, f'"{value}"'
