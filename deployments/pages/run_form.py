"""Run a deployment with other parameters: a form made from its schema, validated like API requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.core.parameter_errors import BadSchema
from deployments.definitions.services.runs import RunOptions, create_run_of_deployment
from deployments.errors import DeploymentNotFound
from deployments.models import Deployment
from deployments.pages.run_settings import RunSettings, read_settings, settings_of, with_settings
from deployments.pages.selectors.run_form import deployment_to_run, flaws_of, run_to_copy
from orchestration.authors import made_by
from orchestration.core.states import scheduled
from orchestration.database_clock import current_time
from orchestration.errors import DomainError
from orchestration.json_texts import NUL, read_json_object, why_not_storable
from orion_site.accounts.permissions import Action, may, requires, who_asks
from orion_site.forms.fields import tags_between_commas
from orion_site.forms.masked import WOULD_REPLACE, with_secrets_back
from orion_site.forms.schema_fields import MOST_FIELDS, fields_of, properties_of
from orion_site.forms.schema_values import Field, as_json
from orion_site.forms.sent_fields import (
    has_other_fields,
    keep_typed,
    keep_unsent,
    marks_of,
    read_fields,
    show_flaws,
    shown_texts,
)
from runs.models import FlowRun
from runs.naming import is_two_word_name


@dataclass(slots=True)
class RunForm:
    """The form of a run. In raw mode the parameters are one JSON text."""

    fields: list[Field]
    is_raw: bool
    settings: RunSettings
    # Of the fields, before anything is read.
    marks: str = ""
    raw: str = ""
    raw_error: str = ""
    name: str = ""
    tags: str = ""
    copied_tags: Sequence[str] = ()
    start: str = "now"
    at: str = ""
    at_error: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        wrong = self.problems or self.raw_error or self.at_error or self.settings.errors
        return bool(wrong or any(one.every_error for one in self.fields))


@requires(Action.RUN_DEPLOYMENTS)
def run_form(request: HttpRequest, deployment_id: UUID) -> HttpResponse:
    deployment = deployment_to_run(deployment_id=deployment_id)
    if deployment is None:
        raise Http404
    copied = _copied(request, deployment)
    form = _empty_form(request, deployment, copied)
    if request.method == "POST":
        made = _submitted(request, deployment, form, current_time())
        if made is not None:
            messages.success(request, f"Run {made.name} is {'due now' if form.start == 'now' else 'planned'}.")
            return redirect("runs:run", made.pk)
    context = {
        "section": "deployments",
        "one": deployment,
        "form": form,
        "copied": copied,
        "other_way": _other_way(request, is_raw=form.is_raw),
        "enforces": deployment.enforce_parameter_schema,
    }
    return render(request, "deployments/run.html", context, status=422 if form.has_errors else 200)


def _copied(request: HttpRequest, deployment: Deployment) -> FlowRun | None:
    copied = request.GET.get("copy")
    if not copied:
        return None
    try:
        found = run_to_copy(run_id=UUID(copied), flow_id=deployment.flow_id)
    except ValueError:
        raise Http404 from None
    if found is None:
        raise Http404
    return found


def _empty_form(request: HttpRequest, deployment: Deployment, copied: FlowRun | None) -> RunForm:
    values = {**deployment.parameters, **(copied.parameters if copied else {})}
    schema = deployment.parameter_openapi_schema or {}
    fields = fields_of(schema, values)
    unknown = values.keys() - {one.label for one in fields}
    # Parameters that the schema does not name have no field, so show everything as JSON.
    has_all = bool(fields) and not unknown and len(properties_of(schema)) <= MOST_FIELDS
    # JSON that was typed stays JSON, even if the parameters have fields by now.
    is_raw = request.GET.get("as") == "json" or not has_all or "raw" in request.POST
    fields = [] if is_raw else fields
    tags = [tag for tag in copied.tags if tag not in deployment.tags] if copied else []
    raw = as_json(values)
    # A name that somebody chose; others are made for one run.
    name = copied.name if copied and not is_two_word_name(copied.name) else ""
    settings = settings_of(copied, deployment, may_customise=may(who_asks(), Action.CUSTOMISE_RUNS))
    marks = "" if is_raw else marks_of(fields)
    return RunForm(fields, is_raw, settings, marks, raw, name=name[:255], tags=", ".join(tags), copied_tags=tags)


def _other_way(request: HttpRequest, *, is_raw: bool) -> str:
    query = request.GET.copy()
    query.pop("as", None)
    if not is_raw:
        query["as"] = "json"
    return "?" + query.urlencode()


def _submitted(request: HttpRequest, deployment: Deployment, form: RunForm, now: datetime) -> FlowRun | None:
    """Create the run of the form. Return None, with errors in the form, if that is not possible."""
    sent = request.POST.copy()
    parameters = [("raw", form.raw)] if form.is_raw else shown_texts(form.fields)
    shown = [("name", form.name), ("tags", form.tags), *parameters]
    keep_unsent(sent, shown)
    starred = [name for name, stored in shown if with_secrets_back(sent, name, stored)]
    if read_settings(form.settings, sent) or starred:
        form.problems.append(WOULD_REPLACE)
    form.name, form.tags = sent.get("name", "").strip(), sent.get("tags", "")
    form.start, form.at = sent.get("start", "now"), sent.get("at", "").strip()
    at = _start(form, now)
    if "raw" not in sent and has_other_fields(form.marks, sent):
        form.problems.append(_has_changed(form, sent))
        return None
    given = _raw_values(form, sent.get("raw", "")) if form.is_raw else read_fields(form.fields, sent)
    if why := why_not_storable(given):
        form.problems.append(why)
    if "\x00" in form.name + form.tags:
        form.problems.append(NUL)
    if len(form.name) > 255:
        form.problems.append("The name has more than 255 characters.")
    if form.has_errors:
        return None
    options = RunOptions(
        created_by=made_by(),
        name=form.name or None,
        parameters=_without_defaults(given, deployment),
        tags=list(dict.fromkeys(tags_between_commas(form.tags, form.copied_tags))),
    )
    options = with_settings(options, form.settings)
    if deployment.enforce_parameter_schema:
        _check(form, {**deployment.parameters, **options.parameters}, deployment.parameter_openapi_schema or {})
    if form.has_errors:
        return None
    try:
        state = scheduled(at) if at else None
        run, _ = create_run_of_deployment(deployment_id=deployment.pk, options=options, state=state, now=now)
    except DeploymentNotFound as error:
        raise Http404 from error
    except (BadTemplate, DomainError) as error:
        form.problems.append(str(error))
        return None
    return run


def _has_changed(form: RunForm, sent: QueryDict) -> str:
    problem = "The deployment has changed since this page was opened: look at its parameters again."
    lost = keep_typed(form.fields, sent)
    return f"{problem} Sent for fields that are gone or changed: {lost}." if lost else problem


def _start(form: RunForm, now: datetime) -> datetime | None:
    if form.start != "at":
        if form.at:
            form.at_error = "Choose “At” to start it at this time, or empty the time to start it now."
        return None
    try:
        moment = datetime.fromisoformat(form.at)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        form.at_error = "Write a date and a time, such as 2026-01-31T06:00."
        return None


def _raw_values(form: RunForm, text: str) -> dict[str, Any]:
    form.raw = text
    try:
        return read_json_object(text)
    except ValueError as error:
        form.raw_error = str(error)
        return {}


def _without_defaults(given: Mapping[str, Any], deployment: Deployment) -> dict[str, Any]:
    """Return the values that differ from those that the run has anyway."""
    known = (deployment.parameter_openapi_schema or {}).get("properties")
    properties: dict[str, Any] = known if isinstance(known, dict) else {}
    usual = {name: own["default"] for name, own in properties.items() if isinstance(own, dict) and "default" in own}
    usual |= deployment.parameters
    return {name: value for name, value in given.items() if name not in usual or not _is_same(usual[name], value)}


def _is_same(one: Any, other: Any) -> bool:
    # 1 and true are equal in Python, but not in JSON.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _check(form: RunForm, values: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    try:
        found = flaws_of(values, schema)
    except BadSchema as error:
        form.problems.append(str(error))
        return
    form.problems += show_flaws(form.fields, found)
