"""Commands of operators on the rows of a list: each has a confirmation page with a dry run, and is logged.

A dry run executes the command with the usual services, in a transaction that is rolled back. So it shows the refusals
of the rules in their words, and announces nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst

from orchestration.database_clock import current_time
from orchestration.errors import DomainError, NotFound
from orchestration.transactions import repeated_on_conflict, write_transaction
from orion_site.accounts.local_owner import OWNER_NAME
from orion_site.accounts.permissions import Action, actor_of, may
from orion_site.operators.records import BoundedAdmin

# The most rows of one command. A dry run locks its rows, and on SQLite the whole file.
SCOPE = 200
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Submission:
    """When a command was given, by which user, and with which values."""

    now: datetime
    author: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command on single rows. `do` returns the reason of a refusal, or an empty text."""

    name: str
    label: str
    needs: Action
    explanation: str
    #: The message afterwards, about the rows: "3 flow runs are being cancelled".
    done: str
    do: Callable[[Any, Submission], str]
    form: type[forms.Form] = forms.Form
    #: Replaces the dry run of a command that is expensive or has effects outside of the database.
    judge: Callable[[Any, Submission], str] | None = None
    is_deletion: bool = False
    #: The name of the pages of rows, where what the command leaves out can be done.
    page: str = ""


def switches(
    field: str, to: bool, refusal: str, switch: Callable[[Any, Submission], object]
) -> Callable[[Any, Submission], str]:
    """Return a `do` that sets a boolean field, and refuses if it has the value already."""

    def do(row: Any, submission: Submission) -> str:
        if getattr(row, field) == to:
            return refusal
        switch(row, submission)
        return ""

    return do


class CommandingAdmin(BoundedAdmin):
    """A list whose rows accept commands: in the list for ticked rows, and on the page of a row for that row."""

    commands: ClassVar[tuple[Command, ...]] = ()

    def address(self) -> str:
        """Return the address of the list."""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def commands_for(self, request: HttpRequest) -> list[Command]:
        actor = actor_of(request)
        return [one for one in self.commands if may(actor, one.needs)]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        own = {one.name: (partial(_confirm_or_execute, one), one.name, one.label) for one in self.commands_for(request)}
        return {**own, **super().get_actions(request)}

    def response_action(self, request: HttpRequest, queryset: Any, *more: Any) -> Any:
        try:
            return super().response_action(request, queryset, *more)
        except ValidationError:
            # A ticked value is not an id.
            messages.warning(request, "These rows are not there. Nothing was changed.")
            return redirect(request.get_full_path())

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if context.get("original") is not None:
            context["commands"] = self.commands_for(request)
            context["list"] = self.address()
        return super().render_change_form(request, context, *args, **kwargs)


def _confirm_or_execute(
    command: Command, model_admin: CommandingAdmin, request: HttpRequest, queryset: Any
) -> HttpResponse:
    """Show the confirmation page; after confirmation execute the command, and return to the list."""
    found = list(queryset[: SCOPE + 1])
    # In the order in which other code locks rows.
    rows = sorted(found[:SCOPE], key=lambda row: str(row.pk))
    answered = "confirmed" in request.POST or "dry" in request.POST
    form = command.form(request.POST if answered else None)
    author, now = _operator(request), current_time()
    if "confirmed" in request.POST and form.is_valid():
        _execute(command, model_admin, request, rows, Submission(now, author, form.cleaned_data))
        return redirect(_back(request, model_admin))
    values = form.cleaned_data if form.is_bound and form.is_valid() else None
    is_judged = values is not None or not form.fields
    refused = _refusals(command, rows, Submission(now, author, values or {})) if is_judged else {}
    return _confirmation_page(
        command, model_admin, request, rows, refused, form, is_judged=is_judged, is_cut=len(found) > SCOPE
    )


def _confirmation_page(
    command: Command,
    model_admin: CommandingAdmin,
    request: HttpRequest,
    rows: Sequence[Any],
    refused: Mapping[Any, str],
    form: forms.Form,
    *,
    is_judged: bool,
    is_cut: bool,
) -> HttpResponse:
    concerned = [row for row in rows if row.pk not in refused]
    words = model_admin.opts.verbose_name if len(concerned) == 1 else model_admin.opts.verbose_name_plural
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{command.label} {len(concerned)} {words}?" if concerned else f"Nothing to do: {command.label}",
        "opts": model_admin.opts,
        "command": command,
        "concerned": concerned,
        "shown": concerned[:SHOWN],
        "refused": [(row, refused[row.pk]) for row in rows if row.pk in refused][:SHOWN],
        "reasons": Counter(refused.values()).most_common(),
        "rows": rows,
        "form": form,
        "is_judged": is_judged,
        "is_cut": is_cut,
        "scope": SCOPE,
        "words": words,
        "selected": helpers.ACTION_CHECKBOX_NAME,
        "list": model_admin.address(),
        "back": _back(request, model_admin),
    }
    return TemplateResponse(request, "admin/command.html", context)


def _execute(
    command: Command, model_admin: CommandingAdmin, request: HttpRequest, rows: Sequence[Any], submission: Submission
) -> None:
    done, refused = [], Counter[str]()
    # Deleting a row clears its key.
    keys = {id(row): row.pk for row in rows}
    for row in rows:
        if reason := _attempt(command.do, row, submission):
            refused[reason] += 1
        else:
            row.pk = keys[id(row)]
            done.append(row)
    if done:
        reason = submission.values.get("reason", "")
        LogEntry.objects.log_actions(
            user_id=cast(int, request.user.pk),
            queryset=done,
            action_flag=DELETION if command.is_deletion else CHANGE,
            change_message=f"{command.label}{f': {reason}' if reason else ''}.",
        )
        words = model_admin.opts.verbose_name if len(done) == 1 else model_admin.opts.verbose_name_plural
        messages.success(request, f"{capfirst(command.label)}: {len(done)} {words} {command.done}.")
    for reason, number in refused.most_common(5):
        messages.warning(request, f"{number} stayed as {'it is' if number == 1 else 'they are'}: {reason}")


@repeated_on_conflict
def _refusals(command: Command, rows: Sequence[Any], submission: Submission) -> dict[Any, str]:
    """Return the reasons why the command would be refused, by key."""
    judge = command.judge
    if judge is not None:
        return {row.pk: reason for row in rows if (reason := _attempt(judge, row, submission))}
    with write_transaction():
        refused = {row.pk: reason for row in rows if (reason := _attempt(command.do, row, submission))}
        transaction.set_rollback(True)
    return refused


def _attempt(do: Callable[[Any, Submission], str], row: Any, submission: Submission) -> str:
    try:
        return do(row, submission)
    except NotFound:
        return "it was deleted in the meantime"
    except DomainError as error:
        return str(error)


def _operator(request: HttpRequest) -> str:
    """Return the name for states and logs: the signed-in user, or the owner of this machine."""
    name = request.user.get_username()
    return actor_of(request).name if name == OWNER_NAME else name


def _back(request: HttpRequest, model_admin: CommandingAdmin) -> str:
    """Return the address of the list as the user saw it."""
    address = request.POST.get("back", request.get_full_path())
    home = model_admin.address()
    is_ours = address.startswith(home) and url_has_allowed_host_and_scheme(address, allowed_hosts=None)
    return address if is_ours else home
