"""The page of API keys: the user's own, or all keys for users who manage users. A key is shown once."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from orion_site.accounts.keys import create_key, revoke_key
from orion_site.accounts.models import ApiKey
from orion_site.accounts.pages.forms import KeyForm
from orion_site.accounts.permissions import Action, Actor, actor_of, may, requires
from orion_site.forms.making import making, new_id_of
from orion_site.forms.submitting import attempt, saved

# The most keys on the page; those that expire first are the most interesting.
MOST_SHOWN = 200


@requires(Action.KEEP_KEYS)
@never_cache
def keys(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    everybodys = may(actor, Action.MANAGE_USERS)
    form = making(KeyForm(request.POST or None, actions=actor.actions, chooses_user=everybodys))
    made: list[tuple[ApiKey, str]] = []

    def act(values: dict[str, Any]) -> None:
        owner = values.get("user") or _user(actor)
        now, life = timezone.now(), form.lasts
        expires = None if life is None else now + life
        new = create_key(
            user=owner, name=values["name"], role=values["role"], expires=expires, now=now, id=new_id_of(form)
        )
        made.append(new)

    is_made = saved(form, act)
    if is_made:
        form = making(KeyForm(actions=actor.actions, chooses_user=everybodys))
    context = {
        "section": "settings",
        "tab": "keys",
        "form": form,
        "made": made[0] if made else None,
        "rows": _keys(actor, everybodys)[:MOST_SHOWN],
        "everybodys": everybodys,
        "may_manage": everybodys,
        "has_users": everybodys and form.fields["user"].queryset.exists(),  # type: ignore[attr-defined]
    }
    # No redirect, so that the key is in no address, session or message. A reload sends the form again, in vain.
    return TemplateResponse(request, "accounts/keys.html", context, status=422 if form.errors else 200)


@requires(Action.KEEP_KEYS)
@require_POST
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    actor = actor_of(request)
    owner = None if may(actor, Action.MANAGE_USERS) else _user(actor)
    attempt(
        request,
        lambda: revoke_key(key_id=key_id, now=timezone.now(), user=owner),
        done="The key is revoked. Whoever sends it is refused from now on.",
    )
    return redirect("keys")


def _keys(actor: Actor, everybodys: bool) -> Any:
    found = ApiKey.objects.select_related("user").order_by("revoked", "-id")
    return found if everybodys else found.filter(user=actor.user_id)


def _user(actor: Actor) -> User:
    return User.objects.get(pk=cast(int, actor.user_id))
