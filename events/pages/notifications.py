"""Notification policies, and the log of messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from events.automations.services.trials import try_policy
from events.models import Notification, NotificationPolicy
from events.notifications.services.policies import create_policy, delete_policy, update_policy
from events.pages.dry_runs import is_saving, tried_policy
from events.pages.forms import PolicyForm, notice_of_receivers
from events.pages.selectors.automations import message_blocks
from events.pages.selectors.notifications import notifications_page, policy_with_block
from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.making import making, new_id_of
from orion_site.forms.submitting import attempt, saved
from orion_site.live.pages import live_page
from runs.pages.filtering import address_after, address_without, moment_since, read_id, since_choices
from runs.pages.saved_views import begins_with_default, views_above
from runs.pages.selectors.keyset import Cursor

STANDINGS = [("", "Any outcome"), ("SENT", "Sent"), ("WAITING", "Waiting"), ("GIVEN_UP", "Given up")]


@requires(Action.READ_NOTIFICATIONS)
@begins_with_default("notifications")
@live_page
def notifications(request: HttpRequest) -> HttpResponse:
    asked, problems = request.GET.get("standing", ""), list[str]()
    standing = asked if asked in dict(STANDINGS) else ""
    found = notifications_page(
        standing=standing,
        block=read_id(request.GET.get("block", "").strip(), "block", problems),
        since=moment_since(request.GET, current_time(), problems),
        after=Cursor.read(request.GET.get("after", "")),
    )
    context = {
        "section": "notifications",
        "views": views_above(request, "notifications"),
        "found": found,
        "standing": standing,
        "standings": STANDINGS,
        # Not named `block`, which has a special meaning inside a template's block.
        "chosen_block": request.GET.get("block", "").strip(),
        "blocks": message_blocks(),
        "since": request.GET.get("since", "").strip(),
        "since_choices": since_choices(request.GET.get("since", "").strip()),
        "problems": problems,
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "events/notifications.html", context)


@requires(Action.CHANGE_NOTIFICATIONS)
def new_policy(request: HttpRequest) -> HttpResponse:
    form = making(_policy_form(request, {}))
    if is_saving(request) and saved(
        form, lambda values: create_policy(columns=values, now=current_time(), id=new_id_of(form))
    ):
        return redirect("events:notifications")
    return _page(request, form, "New notification policy", "Create policy", tried_policy(request, form))


@requires(Action.CHANGE_NOTIFICATIONS)
def edit_policy(request: HttpRequest, policy_id: UUID) -> HttpResponse:
    policy = _found(policy_id)
    initial = {name: getattr(policy, name) for name in PolicyForm.base_fields}
    form = editing(_policy_form(request, {**initial, "block_document_id": str(policy.block_document_id)}))
    if is_saving(request) and saved(
        form, lambda values: update_policy(policy_id=policy_id, changes=values, now=current_time())
    ):
        return redirect("events:notifications")
    tried = tried_policy(request, form, {"deployment_ids": policy.deployment_ids})
    return _page(request, form, policy.name or "Notification policy", "Save", tried)


def _policy_form(request: HttpRequest, initial: dict[str, Any]) -> PolicyForm:
    form = PolicyForm(request.POST or None, initial=initial)
    form.fields["block_document_id"].choices = message_blocks()  # type: ignore[attr-defined]
    return form


def _page(request: HttpRequest, form: PolicyForm, title: str, submit: str, tried: dict[str, Any]) -> HttpResponse:
    back = (reverse("events:notifications"), "Notifications")
    context = {"section": "notifications", "form": form, "title": title, "submit": submit, "back": back, **tried}
    blocks = form.fields["block_document_id"].choices  # type: ignore[attr-defined]
    context["notice"] = notice_of_receivers(blocks)
    return render(request, "events/policy_form.html", context)


@requires(Action.CHANGE_NOTIFICATIONS)
@require_POST
def switch_policy(request: HttpRequest, policy_id: UUID) -> HttpResponse:
    """Enable or disable the policy, as its button said: meanwhile somebody may have done the same."""
    is_active = _found(policy_id).is_active
    changes = {"is_active": {"on": True, "off": False}.get(request.GET.get("to", ""), not is_active)}
    done = "The policy is enabled." if changes["is_active"] else "The policy sends nothing until it is enabled again."
    attempt(request, lambda: update_policy(policy_id=policy_id, changes=changes, now=current_time()), done=done)
    return redirect("events:notifications")


@requires(Action.CHANGE_NOTIFICATIONS)
@require_POST
def test_policy(request: HttpRequest, policy_id: UUID) -> HttpResponse:
    """Send the policy's message for an example run, once, and show the result."""
    tried: list[Notification] = []
    if attempt(
        request,
        lambda: tried.append(try_policy(policy_id=policy_id, now=current_time())),
        done="A test message was made; its delivery is the first line of the log.",
    ):
        outcome = tried[0].tries[-1]["outcome"] if tried[0].tries else "no attempt was made"
        level = messages.INFO if tried[0].standing == Notification.Standing.SENT else messages.ERROR
        messages.add_message(request, level, f"Delivery: {outcome}")
    return redirect("events:notifications")


@requires(Action.CHANGE_NOTIFICATIONS)
@require_POST
def remove_policy(request: HttpRequest, policy_id: UUID) -> HttpResponse:
    attempt(request, lambda: delete_policy(policy_id=policy_id), done="The policy was deleted.")
    return redirect("events:notifications")


def _found(policy_id: UUID) -> NotificationPolicy:
    policy = policy_with_block(policy_id)
    if policy is None:
        raise Http404
    return policy
