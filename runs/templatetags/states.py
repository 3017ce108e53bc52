"""How states look: icon, word and colour of each, in one place for every template."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# By name where a name says more than its type: (icon, word).
NAMED = {
    "Late": ("late", "Late"),
    "AwaitingRetry": ("retry", "Awaiting retry"),
    "AwaitingSlot": ("slot", "Waiting for slot"),
    "Retrying": ("retrying", "Retrying"),
    "Rerunning": ("retrying", "Rerunning"),
    "Cached": ("cached", "Cached"),
    "TimedOut": ("timed-out", "Timed out"),
    "NotReady": ("pending", "Not ready"),
}
TYPES = frozenset(
    {"scheduled", "pending", "running", "paused", "cancelling", "completed", "failed", "crashed", "cancelled"}
)


@register.simple_tag
def state_badge(state_type: str | None, state_name: str | None = None, size: str = "") -> SafeString:
    """Icon and word of a state; `size` is "large" for the one at the head of a page."""
    return format_html(
        '<span class="state {}{}">{}<span class="state-word">{}</span></span>',
        colour(state_type),
        " state-large" if size == "large" else "",
        icon(look(state_type, state_name)[0]),
        look(state_type, state_name)[1],
    )


@register.simple_tag
def state_icon(state_type: str | None, state_name: str | None = None) -> SafeString:
    """The icon alone; its word is told to those who do not see it."""
    return format_html(
        '{}<span class="visually-hidden">{}</span>',
        icon(look(state_type, state_name)[0], colour(state_type)),
        look(state_type, state_name)[1],
    )


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>', css, static("img/icons.svg"), name
    )


@register.filter
def colour(state_type: str | None) -> str:
    """The class that sets a state's colour."""
    known = (state_type or "").lower()
    return f"s-{known}" if known in TYPES else "s-none"


def look(state_type: str | None, state_name: str | None) -> tuple[str, str]:
    known = (state_type or "").lower()
    if known not in TYPES:
        return "none", state_name or "No state"
    plain = (known, state_name or known.capitalize())
    return NAMED.get(state_name or "", plain)
