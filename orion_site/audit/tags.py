"""The template tag for a link from a page to the changes of its object."""

from __future__ import annotations

from typing import Any

from django import template
from django.db.models import Model
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orion_site.accounts.permissions import Action, actor_of, may
from orion_site.audit.links import history_of

register = template.Library()


@register.simple_tag(takes_context=True)
def history(context: Any, row: Model | None) -> SafeString | str:
    request = context.get("request")
    if row is None or request is None or not may(actor_of(request), Action.READ_AUDIT):
        return ""
    address = history_of(row)
    return format_html('<a class="in-admin" href="{}">History of changes</a>', address) if address else ""
