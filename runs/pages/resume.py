"""Resume a paused run from its page; a pause that waits for input is answered in a form made from its schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from deployments.definitions.core.hydration import BadTemplate
from deployments.definitions.core.parameter_errors import BadSchema
from orchestration.core.states import StateType
from orchestration.core.verdicts import Reject
from orchestration.database_clock import current_time
from orchestration.errors import FlowRunNotFound
from orchestration.json_texts import read_json_object, why_not_storable
from orion_site.accounts.permissions import Action, actor_of, may_on_page, requires
from orion_site.forms.masked import WOULD_REPLACE, with_secrets_back
from orion_site.forms.schema_fields import MOST_FIELDS, fields_of
from orion_site.forms.schema_values import Field
from orion_site.forms.sent_fields import (
    has_other_fields,
    keep_typed,
    keep_unsent,
    marks_of,
    read_fields,
    show_flaws,
    shown_texts,
)
from runs.flow_runs.commands import resume_flow_run
from runs.inputs.selectors import Pause, WantedInput, flaws_of_input, pause_of
from runs.models import FlowRun
from runs.pages.actions import back_to_run


@dataclass(slots=True)
class AnswerForm:
    """The form of one pause. In raw mode the answer is one JSON text."""

    pause: UUID
    wanted: WantedInput | None
    fields: list[Field] = field(default_factory=list)
    is_raw: bool = False
    marks: str = ""
    raw: str = "{}"
    raw_error: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def takes_input(self) -> bool:
        return self.wanted is not None

    @property
    def has_errors(self) -> bool:
        return bool(self.problems or self.raw_error or any(one.every_error for one in self.fields))


def answer_form_of(request: HttpRequest, run: FlowRun) -> AnswerForm | None:
    """Return the empty form of a paused run; None if the run is not paused, or not for this reader to resume."""
    if run.state_type != StateType.PAUSED or not may_on_page(request, Action.CHANGE_RUNS):
        return None
    pause = pause_of(run)
    return _empty_form(pause) if pause else None


def _empty_form(pause: Pause) -> AnswerForm:
    wanted = pause.wanted
    schema = wanted.schema if wanted else None
    if schema is None:
        return AnswerForm(pause.state_id, wanted)
    properties = schema.get("properties")
    number = len(properties) if isinstance(properties, Mapping) else 0
    fields = fields_of(schema, {}) if number <= MOST_FIELDS else []
    # An object without fields is answered by a button alone.
    is_raw = not fields and (number > 0 or schema.get("type") != "object")
    return AnswerForm(pause.state_id, wanted, fields, is_raw, marks_of(fields))


@requires(Action.CHANGE_RUNS)
def resume(request: HttpRequest, run_id: UUID) -> HttpResponse:
    run = FlowRun.objects.select_related("flow").filter(pk=run_id).first()
    if run is None:
        raise Http404
    pause = pause_of(run)
    meant = {request.POST.get("pause", ""), request.GET.get("pause", "")}
    if pause is None or not meant <= {"", str(pause.state_id)}:
        return _has_moved_on(request, run)
    form = _empty_form(pause)
    if request.method == "POST" and (answer := _submitted(request, run, form)) is not None:
        return answer
    context = {"section": "runs", "run": run, "form": form}
    return TemplateResponse(request, "runs/resume.html", context, status=422 if form.has_errors else 200)


def _has_moved_on(request: HttpRequest, run: FlowRun) -> HttpResponse:
    state = (run.state_name or "without a state").lower()
    if run.state_type == StateType.PAUSED:
        messages.warning(request, "The run has paused again since, and may ask for something else. Nothing was sent.")
    elif request.method == "POST":
        messages.warning(request, f"The run is no longer paused: it is {state}. Nothing more was sent.")
    else:
        messages.warning(request, f"The run is not paused: it is {state}.")
    return redirect("runs:run", run.pk)


def _submitted(request: HttpRequest, run: FlowRun, form: AnswerForm) -> HttpResponse | None:
    """Resume the run. Return None, with errors in the form, if the answer does not fit."""
    given = _read_answer(request, form) if form.wanted else None
    if form.has_errors:
        return None
    try:
        outcome = resume_flow_run(
            run_id=run.pk, run_input=given, now=current_time(), author=actor_of(request).name, pause=form.pause
        )
    except FlowRunNotFound as error:
        raise Http404 from error
    if isinstance(outcome.verdict, Reject) and not outcome.written and form.wanted:
        form.problems.append(outcome.verdict.reason)
        return None
    is_due = outcome.state is not None and outcome.state.type == StateType.SCHEDULED
    return back_to_run(
        request, run.pk, outcome, "The run waits for an agent to go on." if is_due else "The run goes on."
    )


def _read_answer(request: HttpRequest, form: AnswerForm) -> dict[str, Any]:
    """Return the values of the form, checked as the API checks them; errors are shown at their fields."""
    assert form.wanted is not None
    if form.wanted.schema is None:
        form.problems.append(form.wanted.problem)
        return {}
    sent = request.POST.copy()
    shown = [("raw", form.raw)] if form.is_raw else [*shown_texts(form.fields)]
    keep_unsent(sent, shown)
    if [name for name, stored in shown if with_secrets_back(sent, name, stored)]:
        form.problems.append(WOULD_REPLACE)
    if has_other_fields(form.marks, sent):
        lost = keep_typed(form.fields, sent)
        form.problems.append("The run asks for something else since this page was opened: look at the form again.")
        form.problems += [f"Sent for fields that are gone or changed: {lost}."] if lost else []
        return {}
    given = _raw_values(form, sent.get("raw", "")) if form.is_raw else read_fields(form.fields, sent)
    if why := why_not_storable(given):
        form.problems.append(why)
    if form.problems or form.raw_error:
        return {}
    # Fields that could not be read have their error already; those of the others are shown beside them.
    try:
        form.problems += show_flaws(form.fields, flaws_of_input(given, form.wanted.schema))
    except (BadTemplate, BadSchema) as error:
        form.problems.append(str(error))
    return given


def _raw_values(form: AnswerForm, text: str) -> dict[str, Any]:
    form.raw = text
    try:
        return read_json_object(text)
    except ValueError as error:
        form.raw_error = str(error)
        return {}
