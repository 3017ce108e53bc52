"""All errors of parameters with their places, for forms that show each next to its field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from deployments.definitions.core.bounded_schemas import pay_for_walks, validator_of
from deployments.definitions.core.hydration import KIND, BadTemplate, hydrated
from deployments.definitions.core.parameters import Schema, not_followed, relaxed, why_not_followed
from deployments.definitions.core.schema_work import Work

# Forms are not longer than this, and each error is searched among those of its neighbours.
MOST_ERRORS = 1000

Place = tuple[str | int, ...]


class BadSchema(ValueError):
    """The schema cannot be used for validation. The message says why."""


@dataclass(frozen=True, slots=True)
class Open:
    """A place that a template leaves open: because of an error, with the reason, or until the run starts."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Flaw:
    """A place where a value does not fit, with the reason. A missing value has the place at which it should be."""

    place: Place
    message: str
    is_missing: bool = False


class _Absent:
    """The value of a template that the user has not filled in yet."""


@dataclass(frozen=True, slots=True)
class Filling:
    """The context of templates: the variables, and a function that finds errors in Jinja text."""

    variables: Mapping[str, str]
    flaw_of_text: Callable[[str], str | None]


def filled_as_far_as_possible(value: Any, filling: Filling) -> Any:
    """Return `value` with its templates replaced, and `Open` where that is not possible."""
    filled = _filled(value, filling)
    return {} if isinstance(filled, _Absent) else filled


def _filled(value: Any, filling: Filling) -> Any:
    match value:
        case list():
            return [one for inner in value if not isinstance(one := _filled(inner, filling), _Absent)]
        case dict() if KIND in value:
            return _of_template(value, filling)
        case dict():
            members = {name: _filled(inner, filling) for name, inner in value.items()}
            return {name: one for name, one in members.items() if not isinstance(one, _Absent)}
    return value


def _of_template(template: Mapping[str, Any], filling: Filling) -> Any:
    match template[KIND]:
        case "json" if "value" not in template:
            return _Absent()
        case "workspace_variable" if "variable_name" not in template:
            return _Absent()
        case None | "none":
            return _filled(template["value"], filling) if "value" in template else Open('A "value" is missing.')
        case "jinja":
            text = template.get("template")
            return Open(filling.flaw_of_text(text) if isinstance(text, str) else 'A "template" is missing.')
    try:
        return hydrated(template, filling.variables)
    except BadTemplate as error:
        return Open(str(error))


def flaws(values: Mapping[str, Any], schema: Schema) -> list[Flaw]:
    """Return each place where the values do not fit the schema, with the reason. Raises BadSchema."""
    work = Work()
    try:
        work.weigh(values)
        unfilled = dict(_unfilled(values))
        found = list(islice(_flaws(values, schema, unfilled, work), MOST_ERRORS))
    except not_followed() as error:
        raise BadSchema(f"The schema {why_not_followed(error)}.") from None
    return [*found, *(Flaw(place, reason) for place, reason in unfilled.items() if reason)]


def _flaws(values: Mapping[str, Any], schema: Schema, unfilled: Mapping[Place, object], work: Work) -> Iterator[Flaw]:
    pay_for_walks(schema, work)
    for error in validator_of(relaxed(schema, partial=False), work, formats=True).iter_errors(values):
        yield from (flaw for flaw in _described(error) if not _is_within(flaw.place, unfilled))


def _unfilled(value: Any, place: Place = ()) -> Iterator[tuple[Place, str | None]]:
    match value:
        case Open():
            yield place, value.reason
        case dict():
            for name, inner in value.items():
                yield from _unfilled(inner, (*place, name))
        case list():
            for number, inner in enumerate(value):
                yield from _unfilled(inner, (*place, number))


def _is_within(place: Place, places: Mapping[Place, object]) -> bool:
    return any(place[:length] in places for length in range(len(place) + 1))


def _described(error: Any) -> Iterator[Flaw]:
    own = _besides_null(error)
    if own:
        for inner in own:
            yield from _described(inner)
        return
    is_missing = error.validator == "required"
    # Each error of this keyword has the one name that is missing, see `bounded_schemas`.
    names = error.validator_value if is_missing else ()
    yield Flaw((*error.absolute_path, *names), error.message, is_missing)


def _besides_null(error: Any) -> list[Any]:
    """Return the errors of the value itself, if null would also have been valid."""
    if error.validator != "anyOf" or len(error.validator_value) != 2 or error.validator_value[1] != {"type": "null"}:
        return []
    return [inner for inner in error.context if inner.schema_path[0] == 0]


def as_tree(found: Iterable[Flaw]) -> list[Any]:
    """Return the errors nested like the values: text for the whole, entries with their own errors for parts."""
    errors: list[Any] = []
    for flaw in found:
        _add(errors, flaw.place, flaw.message)
    return errors


def _add(errors: list[Any], place: Place, message: str) -> None:
    if not place:
        errors.append(message)
        return
    first, rest = place[0], place[1:]
    key = "index" if isinstance(first, int) else "property"
    known = (one for one in errors if rest and isinstance(one, dict) and one.get(key) == first)
    entry = next(known, None)
    if entry is None:
        entry = {key: first, "errors": []}
        errors.append(entry)
    _add(entry["errors"], rest, message)
