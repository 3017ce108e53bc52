"""Messages with placeholders, like `Flow run {flow_run_name} is {flow_run_state_name}`. A placeholder is a name."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

PLACES = frozenset(
    {
        "flow_run_notification_policy_id",
        "flow_id",
        "flow_name",
        "flow_run_url",
        "flow_run_id",
        "flow_run_name",
        "flow_run_parameters",
        "flow_run_state_type",
        "flow_run_state_name",
        "flow_run_state_timestamp",
        "flow_run_state_message",
    }
)

USUAL = """Flow run {flow_name} / {flow_run_name} is {flow_run_state_name} since {flow_run_state_timestamp}.

{flow_run_state_message}

{flow_run_url}
Flow run {flow_run_id} of flow {flow_id}"""


class BadTemplate(ValueError):
    """The template is not valid. The message says where, and what is allowed."""


def check_template(template: str) -> None:
    """Raise BadTemplate unless each placeholder is one of PLACES, written as `{name}` and nothing more."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise BadTemplate(f"The message template cannot be read: {error}. Write {{{{ for a plain brace.") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in PLACES or spec or conversion):
            known = ", ".join(sorted(PLACES))
            raise BadTemplate(f"Invalid template variable name {name!r} in the message template. There are: {known}.")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its placeholders filled. `str.format` would read attributes of the values."""
    text = []
    for literal, name, _, _ in Formatter().parse(template):
        text.append(literal)
        text.append("" if name is None else values.get(name, ""))
    return "".join(text)
