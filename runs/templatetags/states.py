"""The appearance of states: icon, label and colour of each, for all templates."""

from __future__ import annotations

import re
from functools import lru_cache

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orionflow.contract.states import NAMES, StateType

register = template.Library()

ICON_FILE = "img/icons.svg"

# Names with an icon of their own; others have that of their type. Prefect's workers also wait for slots.
ICONS = {name: one.icon for names in NAMES.values() for name, one in names.items() if one.icon} | {
    "AwaitingSlot": "slot"
}
WORDS = {"AwaitingSlot": "Waiting for slot"}
ORION_NAMES = frozenset(name for names in NAMES.values() for name in names)
TYPES = frozenset(one.lower() for one in StateType)


@register.simple_tag
def state_badge(state_type: str | None, state_name: str | None = None, size: str = "") -> SafeString:
    """Render icon and label of a state; `size` is "large" for the one at the head of a page."""
    return _badge(state_type or "", state_name or "", size, static(ICON_FILE))


# A list has a hundred badges of a few states. `typed`: safe text must not stand for equal text that is to be escaped.
@lru_cache(maxsize=1024, typed=True)
def _badge(state_type: str, state_name: str, size: str, icons: str) -> SafeString:
    return format_html(
        '<span class="state {}{}">{}<span class="state-word">{}</span></span>',
        colour(state_type),
        " state-large" if size == "large" else "",
        _icon(look(state_type, state_name)[0], "", icons),
        look(state_type, state_name)[1],
    )


@register.simple_tag
def state_icon(state_type: str | None, state_name: str | None = None) -> SafeString:
    """Render the icon only, with the label for screen readers."""
    return format_html(
        '{}<span class="visually-hidden">{}</span>',
        icon(look(state_type, state_name)[0], colour(state_type)),
        look(state_type, state_name)[1],
    )


@register.simple_tag
def state_mark(state_type: str | None, state_name: str | None = None) -> SafeString:
    """Render the icon only, for places where the label follows."""
    return icon(look(state_type, state_name or None)[0], colour(state_type))


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    return _icon(name, css, static(ICON_FILE))


def _icon(name: str, css: str, icons: str) -> SafeString:
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>', css, icons, name)


@register.filter
def colour(state_type: str | None) -> str:
    """Return the CSS class for the colour of a state."""
    known = (state_type or "").lower()
    return f"s-{known}" if known in TYPES else "s-none"


def look(state_type: str | None, state_name: str | None) -> tuple[str, str]:
    """Return the icon and the label of a state."""
    known = (state_type or "").lower()
    if known not in TYPES:
        return "none", state_name or "No state"
    name = state_name or known.capitalize()
    return ICONS.get(name, known), WORDS.get(name) or spaced(name)


def spaced(name: str) -> str:
    """Return AwaitingRetry as "Awaiting retry"; names that users chose stay as they are."""
    return re.sub(r"(?<=[a-z])[A-Z]", lambda one: f" {one[0].lower()}", name) if name in ORION_NAMES else name
