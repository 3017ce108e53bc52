"""Arguments of calls: bound to the function's signature, validated by its annotations, and converted to JSON.

Signatures and validators are created once for each function, as a task may be called a hundred thousand times.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, get_type_hints

from orionflow.annotations import Mark
from orionflow.errors import ParameterError, UsageError
from orionflow.options.checkable import checkable
from orionflow.recordable import (
    LARGEST_PARAMETERS,
    LONGEST_NAME,
    as_text,
    described,
    recordable_json,
    short_text,
    size_of,
)
from orionflow.values.readable import readable
from orionflow.values.traversal import refuse_iterators

if TYPE_CHECKING:
    from pydantic import BaseModel

RESERVED = ("return_state", "wait_for")
_SIMPLE = inspect.Parameter.POSITIONAL_OR_KEYWORD


class Signature:
    """The signature of a function, with a fast path for plain signatures."""

    __slots__ = ("_allowed", "_collector", "_fn_name", "_names", "_plain", "_required", "inspected")

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self.inspected = _signature_of(fn)
        self._fn_name = name
        parameters = self.inspected.parameters.values()
        self._plain = all(one.kind is _SIMPLE for one in parameters)
        self._names = tuple(one.name for one in parameters)
        self._allowed = frozenset(self._names)
        self._collector = next((one.name for one in parameters if one.kind is one.VAR_KEYWORD), None)
        self._required = frozenset(one.name for one in parameters if one.default is one.empty)
        self._refuse_reserved_names()

    def _refuse_reserved_names(self) -> None:
        for name in RESERVED:
            if name in self._names:
                raise UsageError(
                    f"{self._fn_name!r} has a parameter {name!r}, "
                    "which calls of flows and tasks use themselves; rename it."
                )

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise ParameterError if these arguments do not fit."""
        if self._plain:
            given = self._names[: len(args)]
            if len(args) <= len(self._names) and kwargs.keys() <= self._allowed:
                missing = self._required.difference(given, kwargs)
                if not missing and kwargs.keys().isdisjoint(given):
                    return
        self._bind(args, kwargs)

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter, defaults included."""
        bound = self._bind(args, kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter, without defaults."""
        return dict(self._bind(args, kwargs).arguments)

    def spread(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, including those that `**kwargs` collects."""
        given = self.given(args, kwargs)
        return {**{k: v for k, v in given.items() if k != self._collector}, **given.get(self._collector or "", {})}

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self.inspected.bind(*args, **kwargs)
        except TypeError as error:
            raise ParameterError(
                f"{self._fn_name!r} cannot be called like this ({error}); it takes {self._fn_name}{self.inspected}."
            ) from None

    def split(self, parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return bound parameters as the positional and keyword arguments of a call."""
        bound = self.inspected.bind_partial()
        bound.arguments.update((name, parameters[name]) for name in self._names if name in parameters)
        more = {name: value for name, value in parameters.items() if name not in self._allowed}
        return bound.args, {**bound.kwargs, **more}


_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def _signature_of(fn: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except (ValueError, TypeError):
        # Some builtins, such as `dict` and `max`, have no signature.
        return _ANYTHING


def validated(
    name: str, parameters: dict[str, Any], model: type[BaseModel], defaults: inspect.Signature
) -> dict[str, Any]:
    """Return the parameters, converted to the function's annotations; raise ParameterError that names each bad one.

    Defaults are not converted, as in Python.
    """
    from pydantic import ValidationError

    marked = {key: value for key, value in parameters.items() if isinstance(value, Mark)}
    plain = {
        key: value for key, value in parameters.items() if key not in marked and not _is_default(defaults, key, value)
    }
    try:
        read = model.model_validate({_field(key): value for key, value in plain.items()})
    except ValidationError as error:
        wrong = [one for one in error.errors(include_url=False) if _parameter(one["loc"]) not in marked]
        if wrong:
            raise ParameterError(f"The parameters of {name!r} do not fit: {_described(wrong)}.") from None
        read = model.model_construct(**{_field(key): value for key, value in plain.items()})
    except Exception as error:
        # A user's validator raised an unexpected exception.
        raise ParameterError(
            f"The parameters of {name!r} could not be checked: {type(error).__name__}: {as_text(error)}."
        ) from error
    coerced = {key: getattr(read, _field(key)) for key in plain}
    # For a parameter annotated as an iterable, the model creates an iterator, which would be exhausted after one loop.
    kept = {key: value for key, value in coerced.items() if not isinstance(value, Iterator)}
    return {key: kept.get(key, value) for key, value in parameters.items()}


def _is_default(signature: inspect.Signature, name: str, value: Any) -> bool:
    declared = signature.parameters.get(name)
    return declared is not None and declared.default is not declared.empty and declared.default is value


def _described(errors: list[Any]) -> str:
    parts = []
    for error in errors:
        place = ".".join(str(part) for part in (_parameter(error["loc"]), *error["loc"][1:]))
        parts.append(f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]} (got {_short(error.get('input'))})")
    return "; ".join(parts)


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = described(value)
    return text if len(text) <= 80 else text[:77] + "..."


# A parameter may have the name of a method of pydantic's models (`copy`, `json`), so fields get a prefix.
_PREFIX = "p_"


def _field(name: str) -> str:
    return _PREFIX + name


def _parameter(loc: tuple[Any, ...]) -> str:
    return str(loc[0]).removeprefix(_PREFIX)


def parameter_model(fn: Callable[..., Any], signature: inspect.Signature) -> type[BaseModel]:
    """Return a pydantic model with a field for each parameter; defaults are not validated."""
    from pydantic import ConfigDict, Field, create_model

    hints = annotations_of(fn)
    fields: dict[str, Any] = {}
    for one in signature.parameters.values():
        hint: Any = checkable(hints.get(one.name, Any))
        if one.kind is one.VAR_POSITIONAL:
            hint = types.GenericAlias(tuple, (hint, ...))
        elif one.kind is one.VAR_KEYWORD:
            hint = types.GenericAlias(dict, (str, hint))
        fields[_field(one.name)] = (hint, Field(default=None, validate_default=False, alias=None))
    config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=(), coerce_numbers_to_str=False)
    return create_model(f"{getattr(fn, '__name__', 'flow')}_parameters", __config__=config, **fields)


def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters' types, except those whose names cannot be found, such as a class inside a function."""
    target = _declared(fn)
    try:
        return get_type_hints(target, localns=_names_around.get(target), include_extras=True)
    except Exception:
        return dict(_one_by_one(target))


def _declared(fn: Any) -> Any:
    """Return the function that has the annotations, in a method, a partial, or a callable object."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not isinstance(fn, type) and not inspect.isroutine(fn):
        # The annotations of the object itself are those of its attributes.
        fn = type(fn).__call__
    return getattr(fn, "__func__", fn)


def _one_by_one(fn: Any) -> list[tuple[str, Any]]:
    names = {**getattr(fn, "__globals__", {}), **_names_around.get(fn, {}), **_enclosed(fn)}
    found = []
    for name, hint in getattr(fn, "__annotations__", {}).items():
        try:
            # As `get_type_hints` does; the text is from the user's own code.
            found.append((name, eval(hint, names) if isinstance(hint, str) else hint))  # noqa: S307
        except Exception:  # noqa: S112
            continue
    return found


_names_around: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


def note_names_around(fn: Any) -> None:
    """Remember the meaning of text annotations for a function that is defined inside another one.

    Called by the decorator while the outer function runs, as its names are not accessible later.
    """
    code, hints = getattr(fn, "__code__", None), getattr(fn, "__annotations__", {})
    texts = [hint for hint in hints.values() if isinstance(hint, str)]
    if code is None or not texts or "<locals>" not in code.co_qualname:
        return
    around = _frame_of(code.co_qualname.rpartition(".<locals>.")[0])
    wanted = {name for text in texts for name in re.findall(r"[^\W\d]\w*", text)}
    if around is not None and (found := {name: around[name] for name in wanted if name in around}):
        _names_around[fn] = found


def _frame_of(qualname: str) -> dict[str, Any] | None:
    """Return the local names of the innermost call of a function, and those of enclosing ones."""
    frame: FrameType | None = sys._getframe(1)
    names: dict[str, Any] | None = None
    while frame is not None:
        if frame.f_code.co_qualname == qualname:
            names = {**frame.f_locals, **(names or {})}
            qualname, separator, _ = qualname.rpartition(".<locals>.")
            if not separator:
                return names
        frame = frame.f_back
    return names


def _enclosed(fn: Any) -> dict[str, Any]:
    code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None) or ()
    names = code.co_freevars if code else ()
    enclosed = {}
    for name, cell in zip(names, cells, strict=False):
        try:
            enclosed[name] = cell.cell_contents
        except ValueError:
            continue
    return enclosed


def as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters for a run in another process. Raise ParameterError for those that JSON cannot express."""
    stored: dict[str, Any] = {}
    refused: list[str] = []
    for name, value in parameters.items():
        plain = _unmarked(value)
        try:
            stored[name] = _jsonable(plain)
        except Exception:
            # Named by type alone: the value may be a secret.
            refused.append(f"{name} ({type(plain).__name__})")
    if refused:
        raise ParameterError(
            f"Parameters for a run in another process must be values that JSON can express; {', '.join(refused)} "
            f"{'is' if len(refused) == 1 else 'are'} not."
        )
    return stored


def _unmarked(value: Any) -> Any:
    return value.value if isinstance(value, Mark) else value


def _jsonable(value: Any) -> Any:
    if value is None or type(value) in (bool, int):
        return value
    from pydantic_core import from_json, to_json

    refuse_iterators(value)
    # Converted to JSON and back: the result is what the database will hold, and errors occur here and not in the
    # request.
    return from_json(to_json(readable(value), inf_nan_mode="strings"))


def recorded_parameters(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parameters as they are shown for a local run, and the reasons why some are changed."""
    stored: dict[str, Any] = {}
    changes: dict[str, str] = {}
    room = LARGEST_PARAMETERS
    for name, value in parameters.items():
        recorded = recordable_json(_unmarked(value), room)
        key = short_text(name, LONGEST_NAME)
        stored[key] = recorded.value
        room -= size_of(recorded.value)
        if recorded.change is not None:
            changes[key] = recorded.change
    return stored, changes


def described_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return only the types, for an API that refuses the parameters themselves."""
    return {short_text(name, LONGEST_NAME): described(_unmarked(value)) for name, value in parameters.items()}
