"""Automations: lists, pages with triggers and past actions, and forms for the usual kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from events.automations.services.automations import (
    create_automation,
    delete_automation,
    replace_automation,
    switch_automation,
)
from events.automations.services.trials import try_automation
from events.models import ActionRun, Automation
from events.pages.dry_runs import is_saving, tried_automation
from events.pages.forms import (
    ACTIONS,
    TRIGGERS,
    AutomationForm,
    action_fields,
    action_kind_of,
    actions_from,
    notice_of_receivers,
    trigger_fields,
    trigger_kind_of,
    trigger_of,
)
from events.pages.links import Named, named
from events.pages.selectors.automations import (
    OUTCOMES,
    AutomationPage,
    FiringFilter,
    automation_page,
    automations_page,
    deployment_choices,
    message_blocks,
    queue_choices,
)
from events.pages.words import action_words, target_of, trigger_words
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.making import making, new_id_of
from orion_site.forms.submitting import attempt, saved
from orion_site.live.pages import live_page
from orionflow.contract.kinds import RESOURCE_ID
from runs.pages.filtering import address_after, address_without, moment_since, since_choices
from runs.pages.saved_views import begins_with_default, views_above
from runs.pages.selectors.keyset import Cursor


@requires(Action.READ_AUTOMATIONS)
@begins_with_default("automations")
@live_page
def automations(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("q", "").strip()
    found = automations_page(name=name, after=request.GET.get("after", ""))
    context = {
        "section": "automations",
        "views": views_above(request, "automations"),
        "lines": [(line, trigger_words(line.automation.trigger), _acts(line.automation)) for line in found.lines],
        "name": name,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "events/automations.html", context)


def _acts(automation: Automation) -> list[str]:
    every = [*automation.actions, *automation.actions_on_trigger, *automation.actions_on_resolve]
    return [action_words(action) for action in every]


@requires(Action.READ_AUTOMATIONS)
@live_page
def automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    problems: list[str] = []
    asked = request.GET.get("outcome", "")
    wanted = FiringFilter(asked if asked in OUTCOMES else "", moment_since(request.GET, current_time(), problems))
    found = _found(automation_id, Cursor.read(request.GET.get("after", "")), wanted)
    one = found.automation
    groups = {
        "Whenever it fires": one.actions,
        "Only when it fires": one.actions_on_trigger,
        "When it is over": one.actions_on_resolve,
    }
    context = {
        "section": "automations",
        "found": found,
        "automation": one,
        "title": f"{one.name} · {'enabled' if one.enabled else 'disabled'} · Orion",
        "when": trigger_words(one.trigger),
        "groups": [(words, _shown(actions)) for words, actions in groups.items() if actions],
        "done": {firing.pk: action_words(firing.action) for firing in found.firings.rows},
        "causes": _causes(found.firings.rows),
        "outcome": wanted.outcome,
        "outcomes": [("", "Any outcome"), *((key, words) for key, (words, _) in OUTCOMES.items())],
        "since": request.GET.get("since", "").strip(),
        "since_choices": since_choices(request.GET.get("since", "").strip()),
        "problems": problems,
        "is_filtered": bool(wanted.outcome or wanted.since),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.firings.after),
    }
    return TemplateResponse(request, "events/automation.html", context)


def _shown(actions: Sequence[dict[str, Any]]) -> list[tuple[str, Named | None]]:
    """Return actions in words, each with the object that it names."""
    targets = {place: ".".join(target) for place, action in enumerate(actions) if (target := target_of(action))}
    found = dict(zip(targets, named({RESOURCE_ID: target} for target in targets.values()), strict=True))
    return [(action_words(action), found.get(place)) for place, action in enumerate(actions)]


def _causes(firings: Sequence[ActionRun]) -> dict[UUID, Named]:
    """Return, by action, the resource of the event that caused it."""
    resources = {one.pk: one.event["resource"] for one in firings if one.event and one.event.get("resource")}
    return dict(zip(resources, named(resources.values()), strict=True))


@requires(Action.CHANGE_AUTOMATIONS)
def new_automation(request: HttpRequest) -> HttpResponse:
    when, do = request.GET.get("when", ""), request.GET.get("do", "")
    if when not in TRIGGERS or do not in ACTIONS:
        context = {"section": "automations", "triggers": TRIGGERS, "actions": ACTIONS}
        return render(request, "events/new_automation.html", context)
    form, made = making(_form(request, when, do, {})), list[Automation]()
    if is_saving(request) and saved(
        form,
        lambda values: made.append(
            create_automation(columns=_columns(when, do, values), now=current_time(), id=new_id_of(form))
        ),
    ):
        return redirect("events:automation", made[0].pk)
    tried = tried_automation(request, form, lambda values: _columns(when, do, values))
    back = (reverse("events:new-automation"), "Another kind of automation")
    intro = f"{TRIGGERS[when]} → {ACTIONS[do]}"
    return _page(request, form, "New automation", "Create automation", back, intro, tried)


@requires(Action.CHANGE_AUTOMATIONS)
def edit_automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    """Show the form that fits the stored automation. Parts that it does not show stay unchanged."""
    one = _found(automation_id, None).automation
    when, about = trigger_kind_of(one.trigger)
    do, acting = action_kind_of(one.actions)
    own = {"name": one.name, "description": one.description, "enabled": one.enabled}
    form = editing(_form(request, when, do, {**about, **acting, **own}))
    kept = {"actions_on_trigger": one.actions_on_trigger, "actions_on_resolve": one.actions_on_resolve}

    def columns(values: dict[str, Any]) -> dict[str, Any]:
        return {**_columns(when, do, values), **kept}

    if is_saving(request) and saved(
        form,
        lambda values: replace_automation(automation_id=automation_id, columns=columns(values), now=current_time()),
    ):
        return redirect("events:automation", automation_id)
    tried = tried_automation(request, form, columns, automation_id)
    back = (reverse("events:automation", args=[automation_id]), one.name)
    return _page(request, form, f"Edit {one.name}", "Save", back, "Its counts begin again when it is saved.", tried)


def _form(request: HttpRequest, when: str, do: str, initial: dict[str, Any]) -> forms.Form:
    form = AutomationForm(request.POST or None, initial=initial)
    form.fields.update(trigger_fields(when))
    blocks = message_blocks() if do == "send-notification" else []
    deployments = deployment_choices() if do.endswith("-deployment") else []
    queues = queue_choices() if do == "pause-work-queue" else []
    form.fields.update(action_fields(do, blocks, deployments, queues))
    return form


def _columns(when: str, do: str, values: dict[str, Any]) -> dict[str, Any]:
    own = {name: values[name] for name in ("name", "description", "enabled")}
    none: list[Any] = []
    lists = {"actions": actions_from(do, values), "actions_on_trigger": none, "actions_on_resolve": none}
    return {**own, "trigger": trigger_of(when, values), **lists}


def _page(
    request: HttpRequest,
    form: forms.Form,
    title: str,
    submit: str,
    back: tuple[str, str],
    intro: str,
    tried: dict[str, Any],
) -> HttpResponse:
    own = {"section": "automations", "form": form, "title": title, "submit": submit, "back": back, "intro": intro}
    context = {**own, **tried}
    if sender := form.fields.get("block_document_id"):
        context["notice"] = notice_of_receivers(sender.choices)  # type: ignore[attr-defined]
    return render(request, "events/automation_form.html", context)


@requires(Action.CHANGE_AUTOMATIONS)
@require_POST
def enable_automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    return _switch(request, automation_id, True, "It acts from now on; events of the time between are left out.")


@requires(Action.CHANGE_AUTOMATIONS)
@require_POST
def disable_automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    return _switch(request, automation_id, False, "It does nothing until it is enabled again.")


def _switch(request: HttpRequest, automation_id: UUID, enabled: bool, done: str) -> HttpResponse:
    attempt(
        request,
        lambda: switch_automation(automation_id=automation_id, enabled=enabled, now=current_time()),
        done=done,
    )
    return redirect("events:automation", automation_id)


@requires(Action.CHANGE_AUTOMATIONS)
@require_POST
def test_automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    """Send its messages about the newest run. Its other actions are only described."""

    def test() -> None:
        for trial in try_automation(automation_id=automation_id, now=current_time()):
            messages.info(request, f"{action_words(trial.action)} – {trial.outcome}")

    attempt(request, test, done="Tried, as if it had fired for the newest flow run.")
    return redirect("events:automation", automation_id)


@requires(Action.CHANGE_AUTOMATIONS)
@require_POST
def remove_automation(request: HttpRequest, automation_id: UUID) -> HttpResponse:
    attempt(request, lambda: delete_automation(automation_id=automation_id), done="The automation was deleted.")
    return redirect("events:automations")


def _found(automation_id: UUID, after: Cursor | None, wanted: FiringFilter | None = None) -> AutomationPage:
    found = automation_page(automation_id=automation_id, after=after, wanted=wanted)
    if found is None:
        raise Http404
    return found
