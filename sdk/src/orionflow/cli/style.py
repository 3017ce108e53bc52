"""Styles of states and other texts in a terminal: an icon and a colour, or plain ASCII if necessary."""

from __future__ import annotations

from typing import Any

from orionflow.cli.safe_text import one_line, styled
from orionflow.cli.terminal import Terminal

# type: (icon, ASCII icon, colour); all icons are one column wide, or tables would not line up.
LOOKS = {
    "SCHEDULED": ("◷", "@", "yellow"),
    "PENDING": ("○", ".", "bright_black"),
    "RUNNING": ("▶", ">", "blue"),
    "PAUSED": ("‖", "=", "bright_black"),
    "CANCELLING": ("⊘", "-", "bright_black"),
    "COMPLETED": ("✓", "+", "green"),
    "FAILED": ("✗", "x", "red"),
    "CRASHED": ("↯", "!", "bright_red"),
    "CANCELLED": ("⊘", "-", "bright_black"),
}
NO_LOOK = (" ", " ", "white")


def icon(state_type: str | None, terminal: Terminal) -> str:
    look = LOOKS.get(state_type or "", NO_LOOK)
    return look[0] if terminal.has_unicode else look[1]


def color_of(state_type: str | None) -> str:
    return LOOKS.get(state_type or "", NO_LOOK)[2]


def painted(text: str, state_type: str | None) -> str:
    return styled(text, fg=color_of(state_type))


def state_label(state_type: str | None, name: str | None, terminal: Terminal) -> str:
    return f"{icon(state_type, terminal)} {one_line(name or '')}" if state_type else "(no state)"


def run_state_label(run: dict[str, Any], terminal: Terminal) -> str:
    return state_label(run.get("state_type"), run.get("state_name"), terminal)


def arrow(terminal: Terminal) -> str:
    return "→" if terminal.has_unicode else "->"


def first_line(text: str | None, limit: int = 90) -> str:
    if not text:
        return ""
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
