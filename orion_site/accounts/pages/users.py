"""Pages of users and groups, for users who manage them, and of the user's own password."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import Group, User
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Prefetch, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse, reverse_lazy
from django.views.decorators.http import require_POST

from orchestration.transactions import write_transaction
from orion_site.accounts import users as services
from orion_site.accounts.models import ApiKey, Grant
from orion_site.accounts.pages.forms import GroupForm, NewPasswordForm, NewUserForm, UserGroupsForm
from orion_site.accounts.permissions import Action, requires
from orion_site.forms.editing import editing
from orion_site.forms.submitting import attempt, saved

MOST_SHOWN = 500
WITH_ROLES = Prefetch("groups", Group.objects.order_by("name").prefetch_related("grants"))


@requires(Action.MANAGE_USERS)
def users(request: HttpRequest) -> HttpResponse:
    keys = Count("api_keys", filter=Q(api_keys__revoked=None))
    found = services.users().annotate(keys=keys).prefetch_related(WITH_ROLES)
    context = {"section": "settings", "tab": "users", "rows": found[:MOST_SHOWN], "may_manage": True}
    return TemplateResponse(request, "accounts/users.html", context)


@requires(Action.MANAGE_USERS)
def new_user(request: HttpRequest) -> HttpResponse:
    form = NewUserForm(request.POST or None)

    def act(values: dict[str, Any]) -> None:
        services.create_user(
            name=values["name"],
            password=values["password"] or None,
            groups=[group.name for group in values["groups"]],
            roles=[values["role"]] if values["role"] else [],
        )

    if saved(form, act):
        messages.success(request, f"{form.cleaned_data['name']} was created.")
        return redirect("users")
    return _form(request, form, "New user", "Create user", (reverse("users"), "Users"))


@requires(Action.MANAGE_USERS)
def user(request: HttpRequest, user_id: int) -> HttpResponse:
    one = _user(user_id)
    stored = {"groups": sorted(one.groups.values_list("name", flat=True))}
    groups = editing(UserGroupsForm(initial=stored))
    password = NewPasswordForm()
    match request.POST.get("what"):
        case "groups":
            groups = editing(UserGroupsForm(request.POST, initial=stored))
            if saved(groups, lambda values: services.set_groups(name=one.username, groups=_names(values["groups"]))):
                messages.success(request, f"The groups of {one.username} are changed.")
                return redirect("user", user_id)
        case "password":
            password = NewPasswordForm(request.POST)
            if saved(password, lambda values: services.set_password(name=one.username, **values)):
                messages.success(request, f"{one.username} has to sign in with the new password everywhere.")
                return redirect("user", user_id)
    context = {
        "section": "settings",
        "one": one,
        "roles": services.roles_of(one),
        "keys": ApiKey.objects.filter(user=one, revoked=None).count(),
        "groups": groups,
        "password": password,
    }
    status = 422 if groups.errors or password.errors else 200
    return TemplateResponse(request, "accounts/user.html", context, status=status)


@requires(Action.MANAGE_USERS)
@require_POST
def switch_user(request: HttpRequest, user_id: int) -> HttpResponse:
    one, is_active = _user(user_id), request.POST.get("active") == "yes"
    done = (
        f"{one.username} may come in again." if is_active else f"{one.username} and the keys are refused from now on."
    )
    attempt(request, lambda: services.set_active(name=one.username, is_active=is_active), done=done)
    return redirect("user", user_id)


@requires(Action.MANAGE_USERS)
@require_POST
def remove_user(request: HttpRequest, user_id: int) -> HttpResponse:
    one = _user(user_id)
    done = f"{one.username} was deleted with all keys."
    is_done = attempt(request, lambda: services.delete_user(name=one.username), done=done)
    return redirect("users") if is_done else redirect("user", user_id)


@requires(Action.MANAGE_USERS)
def groups(request: HttpRequest) -> HttpResponse:
    found = Group.objects.order_by("name").annotate(members=Count("user")).prefetch_related("grants")
    context = {"section": "settings", "tab": "groups", "rows": found[:MOST_SHOWN], "may_manage": True}
    return TemplateResponse(request, "accounts/groups.html", context)


@requires(Action.MANAGE_USERS)
def new_group(request: HttpRequest) -> HttpResponse:
    form = GroupForm(request.POST or None)
    if saved(form, lambda values: services.create_group(**values)):
        messages.success(request, f"The group {form.cleaned_data['name']} was created.")
        return redirect("groups")
    return _form(request, form, "New group", "Create group", (reverse("groups"), "Groups"))


@requires(Action.MANAGE_USERS)
def group(request: HttpRequest, group_id: int) -> HttpResponse:
    one = _group(group_id)
    roles = services.held(Grant.objects.filter(group=one))
    form = GroupForm(request.POST or None, initial=GroupForm.initial_of(roles))
    del form.fields["name"]
    editing(form)
    if saved(form, lambda values: services.set_roles(name=one.name, **values)):
        messages.success(request, f"The roles of {one.name} are changed; whom that concerns signs in again.")
        return redirect("groups")
    intro = "Sessions of members end when the roles change; their keys may do from now on what the roles say."
    return _form(request, form, f"Group {one.name}", "Save", (reverse("groups"), "Groups"), intro)


@requires(Action.MANAGE_USERS)
@require_POST
def remove_group(request: HttpRequest, group_id: int) -> HttpResponse:
    one = _group(group_id)
    attempt(request, lambda: services.delete_group(name=one.name), done=f"The group {one.name} was deleted.")
    return redirect("groups")


class ChangePassword(PasswordChangeView):
    """Change the user's own password. Django asks for the old one, and ends all other sessions."""

    form_class = PasswordChangeForm
    template_name = "forms/form.html"
    success_url = reverse_lazy("settings")
    extra_context = {
        "section": "settings",
        "title": "Change your password",
        "submit": "Change password",
        "back": (reverse_lazy("settings"), "Settings"),
        "intro": "You stay signed in here, and have to sign in again everywhere else.",
    }

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed.")
        with write_transaction():
            return super().form_valid(form)


_change_password = ChangePassword.as_view()


@requires(Action.KEEP_KEYS)
def change_password(request: HttpRequest) -> HttpResponseBase:
    if not request.user.is_authenticated:
        raise PermissionDenied("Only who signed in has a password to change.")
    return _change_password(request)


def _form(
    request: HttpRequest, form: Any, title: str, submit: str, back: tuple[str, str], intro: str = ""
) -> HttpResponse:
    context = {"section": "settings", "form": form, "title": title, "submit": submit, "back": back, "intro": intro}
    return TemplateResponse(request, "forms/form.html", context, status=422 if form.errors else 200)


def _names(found: Any) -> list[str]:
    return [group.name for group in found]


def _user(user_id: int) -> User:
    one = services.users().filter(pk=user_id).first()
    if one is None:
        raise Http404
    return one


def _group(group_id: int) -> Group:
    one = Group.objects.filter(pk=group_id).first()
    if one is None:
        raise Http404
    return one
