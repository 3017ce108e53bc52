"""Job templates of work pools: which job variables a run can set, and whether its values fit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.definitions.core.parameters import flaw_of_schema, judge_of
from deployments.definitions.core.schema_work import Work

Template = Mapping[str, Any]
_PLACES = re.compile(r"\{\{\s*([\w.\-\[\]]+)\s*\}\}")


def flaw_of_template(template: Template) -> str | None:
    """Return why no job can be made from this template; None if one can. An empty template is valid."""
    if not template:
        return None
    configuration, schema = template.get("job_configuration"), template.get("variables")
    if not (isinstance(configuration, Mapping) and configuration and isinstance(schema, Mapping) and schema):
        return "it needs both a job_configuration and variables, or neither"
    if flaw := flaw_of_schema(schema):
        return f"variables are not a JSON schema: {flaw}"
    if undeclared := sorted(set(_used(configuration)) - set(_declared(schema))):
        return f"job_configuration uses {', '.join(undeclared)}, which variables do not declare"
    return None


def blocks_in_defaults(template: Template) -> Iterator[tuple[str, Any]]:
    """Yield, for each variable whose default is a block document, the document's id."""
    for name, default in _defaults(template.get("variables") or {}):
        reference = default.get("$ref") if isinstance(default, Mapping) else None
        if isinstance(reference, Mapping) and reference.get("block_document_id") is not None:
            yield name, reference["block_document_id"]


def flaw_of_defaults(template: Template, blocks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the error of a default that does not fit its variable, or None. `blocks` are those that defaults name."""
    schema = template.get("variables") or {}
    usual = {name: blocks.get(name, value) for name, value in _defaults(schema)}
    if not usual:
        return None
    flaw = judge_of(schema, Work(), partial=True)(usual)
    return flaw and f"a default does not fit its variable: {flaw}"


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return job variables merged from layers; later ones win. Environments are merged by name, others replaced."""
    found: dict[str, Any] = {}
    for layer in layers:
        env, special = found.get("env"), layer.get("env")
        found |= layer
        if isinstance(env, dict) and isinstance(special, dict):
            found["env"] = {**env, **special}
    return found


def misfit(template: Template, *layers: Mapping[str, Any], complete: bool) -> str | None:
    """Return the error of job variables merged from these layers, or None.

    Required variables may be missing unless `complete`: another layer may set them before the run starts.
    """
    schema = template.get("variables")
    if not isinstance(schema, Mapping) or not schema:
        return None
    if flaw := flaw_of_schema(schema):
        return f"the variables of the template are not a JSON schema: {flaw}"
    work = Work()
    usual = dict(_sound_defaults(schema, work))
    all_defaults_known = len(usual) == len(list(_defaults(schema)))
    judge = judge_of(schema, work, partial=not (complete and all_defaults_known))
    return judge({**usual, **merged(*layers)})


def _used(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield the variables that the configuration uses, except those starting with `prefect.`, which workers set."""
    for name in _PLACES.findall(json.dumps(configuration)):
        if not name.startswith("prefect."):
            yield name


def _declared(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def _defaults(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, own in _declared(schema).items():
        if isinstance(own, Mapping) and "default" in own:
            yield name, own["default"]


def _sound_defaults(schema: Mapping[str, Any], work: Work) -> Iterator[tuple[str, Any]]:
    """Yield the defaults that can be checked and fit. Defaults that name a block are known only to workers."""
    judge = judge_of(schema, work, partial=True)
    for name, value in _defaults(schema):
        if not (isinstance(value, Mapping) and "$ref" in value) and judge({name: value}) is None:
            yield name, value
