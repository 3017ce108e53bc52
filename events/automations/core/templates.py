"""Templates of automations, in messages and in parameters: validation and filling in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateSyntaxError

from events.automations.core.jinja import FUEL, PROBLEMS, compiled, escape, fuel

LONGEST = 200_000


class BadText(ValueError):
    """The template cannot be filled in. The message says why."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """An error in a template, and its line."""

    line: int
    message: str


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def misplaced(text: str) -> Misplaced | None:
    """Return the first error of a template, or None."""
    try:
        compiled(text)
    except TemplateSyntaxError as error:
        return Misplaced(error.lineno, error.message or "this is not a template")
    except RecursionError:
        return Misplaced(1, "the text is nested too deeply")
    except PROBLEMS as error:
        return Misplaced(1, str(error) or "the text cannot be read")
    return None


def fill_in(text: str, values: Mapping[str, Any], *, escaping: Callable[[str], str] = str) -> str:
    """Return the template with its variables filled in; missing values are empty. Raises BadText."""
    before, as_before = fuel.set([FUEL]), escape.set(escaping)
    try:
        return _together(compiled(text).generate(values))
    except PROBLEMS as error:
        raise BadText(f"A text cannot be filled in: {error}") from error
    finally:
        fuel.reset(before)
        escape.reset(as_before)


def filled_parameters(value: Any, values: Mapping[str, Any]) -> Any:
    """Return parameters with the templates in them filled in, except other kinds, which are filled for each run."""
    match value:
        case str() if is_template(value):
            return fill_in(value, values)
        case {"__prefect_kind": "jinja", "template": str(template)}:
            return fill_in(template, values)
        case {"__prefect_kind": _}:
            return value
        case dict():
            return {name: filled_parameters(one, values) for name, one in value.items()}
        case list():
            return [filled_parameters(one, values) for one in value]
    return value


def texts_in(value: Any) -> Iterator[str]:
    """Yield the templates that `filled_parameters` fills in."""
    match value:
        case str() if is_template(value):
            yield value
        case {"__prefect_kind": "jinja", "template": str(template)}:
            yield template
        case {"__prefect_kind": _}:
            return
        case dict():
            for one in value.values():
                yield from texts_in(one)
        case list():
            for one in value:
                yield from texts_in(one)


def _together(parts: Iterable[str]) -> str:
    text, length = [], 0
    for part in parts:
        text.append(part)
        if (length := length + len(part)) > LONGEST:
            raise ValueError(f"it becomes longer than {LONGEST} characters")
    return "".join(text)
