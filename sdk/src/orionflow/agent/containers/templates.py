"""A run's job: the configuration of its pool's template, with defaults and job variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from orionflow.agent.agent_client import AgentClient
from orionflow.contract.job_templates import default_job_template
from orionflow.contract.work import WorkPool
from orionflow.errors import ApiError, OrionError

Job = dict[str, Any]
_SLOT = re.compile(r"\{\{\s*([\w.\-]+)\s*\}\}")
_ABSENT = object()


class NotStarted(OrionError):
    """An attempt cannot start; the message becomes the cause in its run."""

    def __init__(self, cause: str, *, is_agents_fault: bool = False) -> None:
        super().__init__(cause)
        self.is_agents_fault = is_agents_fault


class JobTemplate:
    """The current template of the agent's pool."""

    def __init__(self, pool: WorkPool, api: AgentClient) -> None:
        self._type, self._api = pool.type, api
        self._template: Mapping[str, Any] = pool.base_job_template

    def job_of(self, variables: Mapping[str, Any]) -> Job:
        """Return the job of a run with these variables. Raise NotStarted."""
        # The previously read template is used until the API answers.
        with suppress(ApiError):
            self._template = self._api.pool().base_job_template
        return filled_in(self._template or default_job_template(self._type), variables)


def filled_in(template: Mapping[str, Any], variables: Mapping[str, Any]) -> Job:
    """Replace `{{ name }}` by the variable's value or default; omit fields that have neither. Raise NotStarted."""
    properties = (template.get("variables") or {}).get("properties") or {}
    values = {name: one["default"] for name, one in properties.items() if one.get("default") is not None}
    env = {**(values.get("env") or {}), **(variables.get("env") or {})}
    values |= {name: value for name, value in variables.items() if value is not None}
    if env:
        values["env"] = env
    return {
        name: value
        for name, one in (template.get("job_configuration") or {}).items()
        if (value := _filled(one, values)) is not _ABSENT
    }


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    match value:
        case dict():
            members = {name: _filled(inner, values) for name, inner in value.items()}
            return {name: inner for name, inner in members.items() if inner is not _ABSENT}
        case list():
            return [inner for one in value if (inner := _filled(one, values)) is not _ABSENT]
        case str():
            return _filled_text(value, values)
    return value


def _filled_text(text: str, values: Mapping[str, Any]) -> Any:
    names = _SLOT.findall(text)
    if foreign := [name for name in names if name.startswith("prefect.")]:
        raise NotStarted(
            f"The job template of the work pool uses {{{{ {foreign[0]} }}}}, which Orion's agents do not know."
        )
    if names and _SLOT.fullmatch(text.strip()):
        return values.get(names[0], _ABSENT)
    return _SLOT.sub(lambda found: str(values.get(found[1], "")), text)
