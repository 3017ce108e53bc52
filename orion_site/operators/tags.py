"""Tags for the admin's templates, and the link from a page of the dashboard to its row in the admin."""

from __future__ import annotations

from typing import Any

from django import template
from django.contrib.admin.templatetags.admin_urls import admin_urlquote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orion_site.accounts.permissions import Action, actor_of, may
from orion_site.operators.groups import Group
from orion_site.operators.groups import group_of as _group_of

register = template.Library()


@register.simple_tag
def group_of(options: Any) -> Group:
    """Return the group of the index that lists this model."""
    return _group_of(options)


@register.filter
def numbers_of(numbers: dict[str, Any], key: str) -> Any:
    return numbers.get(key, ())


@register.simple_tag(takes_context=True)
def in_admin(context: Any, row: Model | None) -> SafeString | str:
    """Link to the row in the admin if the user may open it."""
    request = context.get("request")
    if row is None or request is None or not _may_operate(request):
        return ""
    options = row._meta
    address = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[admin_urlquote(row.pk)])
    return format_html('<a class="in-admin" href="{}">In the admin</a>', address)


def _may_operate(request: Any) -> bool:
    return may(actor_of(request), Action.OPERATE)
