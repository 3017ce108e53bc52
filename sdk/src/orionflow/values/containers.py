"""Decomposition of containers into parts, and copies with other parts: collections, dataclasses, models, records.

A copy has the same type but bypasses the type's own validation, which applied to the future that the program wrote, and
not to the value in its place.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, ItemsView, KeysView, Mapping, Sequence, Set, ValuesView
from copy import copy
from typing import Any, NamedTuple

from orionflow.annotations import Mark

# In unknown kinds of collections, each access may be slow, as in a remote one.
LONGEST_UNKNOWN = 1_000


class Apart(NamedTuple):
    """The parts of a container, how each is reached in it, and how a copy with other parts is created."""

    parts: Sequence[Any]
    label: Callable[[int], str]
    together: Callable[[list[Any]], Any]


Taking = Callable[[Any], Apart]


def taken_apart(value: Any) -> Apart | None:
    """Return the parts of a value; None if no parts are known."""
    kind: Any = type(value)
    taking = _taking(kind)
    if taking is None:
        return None
    try:
        return taking(value)
    except Exception:
        # The user's own `__iter__`, `__len__` or property failed; the code that receives the value will handle that.
        return None


@functools.lru_cache(maxsize=4096)
def _taking(kind: type) -> Taking | None:
    """Return the function that decomposes values of a type."""
    for known, taking in _KNOWN:
        if issubclass(kind, known):
            return taking
    for mark, taking in _MARKED:
        if hasattr(kind, mark):
            return taking
    if _is_array(kind):
        return _array
    return next((abstract for mother, abstract in _ABSTRACT if issubclass(kind, mother)), None)


def _by_index(index: int) -> str:
    return f"[{index}]"


def _list(value: Any) -> Apart:
    parts = value if type(value) is list else list(list.__iter__(value))
    return Apart(parts, _by_index, lambda parts: parts if type(value) is list else _filled_list(value, parts))


def _filled_list(value: Any, parts: list[Any]) -> Any:
    twin = copy(value)
    list.__setitem__(twin, slice(None), parts)
    return twin


def _tuple(value: Any) -> Apart:
    parts = tuple(tuple.__iter__(value))
    if hasattr(value, "_fields"):
        return Apart(parts, lambda index: f".{value._fields[index]}", lambda parts: _tuple_of(type(value), parts))
    return Apart(parts, _by_index, lambda parts: tuple(parts) if type(value) is tuple else _twin_tuple(value, parts))


def _tuple_of(kind: Any, parts: list[Any]) -> Any:
    return tuple.__new__(kind, parts)


def _twin_tuple(value: Any, parts: list[Any]) -> Any:
    twin = _tuple_of(type(value), parts)
    if getattr(value, "__dict__", None):
        twin.__dict__.update(value.__dict__)
    return twin


def _set(value: Any) -> Apart:
    parts = list(value)
    return Apart(parts, lambda index: "{…}", lambda new: _like_set(value, new))


def _like_set(value: Any, parts: list[Any]) -> Any:
    kind = type(value)
    if kind in (set, frozenset):
        return kind(parts)
    if isinstance(value, frozenset):
        return frozenset.__new__(kind, parts)
    twin = copy(value)
    set.clear(twin)
    set.update(twin, parts)
    return twin


def _deque(value: Any) -> Apart:
    def together(parts: list[Any]) -> Any:
        twin = copy(value)
        deque.clear(twin)
        deque.extend(twin, parts)
        return twin

    return Apart(list(value), _by_index, together)


def _dict(value: Any) -> Apart:
    keys = list(dict.keys(value))
    set_item = OrderedDict.__setitem__ if isinstance(value, OrderedDict) else dict.__setitem__
    clear = OrderedDict.clear if isinstance(value, OrderedDict) else dict.clear

    def together(parts: list[Any]) -> Any:
        twin = _twin_of_dict(value, set_item)
        new_keys = parts[: len(keys)]
        if any(new is not old for new, old in zip(new_keys, keys, strict=True)):
            clear(twin)
        for key, part in zip(new_keys, parts[len(keys) :], strict=True):
            set_item(twin, key, part)
        return twin

    return Apart([*keys, *dict.values(value)], _by_key(keys), together)


def _twin_of_dict(value: Any, set_item: Callable[[Any, Any, Any], None]) -> Any:
    try:
        return copy(value)
    except Exception:
        # Python's copy calls the class's own `__setitem__`, which may refuse.
        kind: Any = type(value)
        twin = kind.__new__(kind)
        vars(twin).update(getattr(value, "__dict__", {}))
        for key in dict.keys(value):
            set_item(twin, key, dict.__getitem__(value, key))
        return twin


def _by_key(keys: list[Any]) -> Callable[[int], str]:
    return lambda index: f"[{keys[index % len(keys)]!r}]"


def _proxy(value: Any) -> Apart:
    return _of_mapping(value, types.MappingProxyType)


def _of_mapping(value: Any, make: Callable[[dict[Any, Any]], Any]) -> Apart:
    keys = list(value)

    def together(parts: list[Any]) -> Any:
        return make(dict(zip(parts[: len(keys)], parts[len(keys) :], strict=True)))

    return Apart([*keys, *(value[key] for key in keys)], _by_key(keys), together)


def _chain(value: Any) -> Apart:
    return Apart(value.maps, lambda index: f".maps[{index}]", lambda parts: type(value)(*parts))


def _partial(value: Any) -> Apart:
    count, names = len(value.args), list(value.keywords)

    def together(parts: list[Any]) -> Any:
        twin = copy(value)
        twin.__setstate__((value.func, tuple(parts[:count]), dict(zip(names, parts[count:], strict=True)), None))
        return twin

    return Apart(
        [*value.args, *value.keywords.values()],
        lambda index: f".args[{index}]" if index < count else f".keywords[{names[index - count]!r}]",
        together,
    )


def _view(value: Any) -> Apart:
    return Apart(list(value), _by_index, list)


def _mark(value: Any) -> Apart:
    return Apart([value.value], lambda index: "", lambda parts: value.rewrap(parts[0]))


def _attributes(value: Any, names: list[str], make_twin: Callable[[Any], Any] = copy) -> Apart:
    old = {name: getattr(value, name) for name in names if hasattr(value, name)}
    names = list(old)

    def together(parts: list[Any]) -> Any:
        twin = make_twin(value)
        for name, part in zip(names, parts, strict=True):
            if part is not old[name]:
                # Bypasses frozen classes and validators.
                _set_attribute(twin, name, part)
        return twin

    return Apart(list(old.values()), lambda index: f".{names[index]}", together)


def _set_attribute(twin: Any, name: str, part: Any) -> None:
    try:
        object.__setattr__(twin, name, part)
    except TypeError:
        # For frozen records of msgspec.
        sys.modules["msgspec"].structs.force_setattr(twin, name, part)


def _namespace(value: Any) -> Apart:
    return _attributes(value, list(vars(value)))


def _dataclass(value: Any) -> Apart:
    return _attributes(value, list(type(value).__dataclass_fields__))


def _attrs(value: Any) -> Apart:
    return _attributes(value, [field.name for field in type(value).__attrs_attrs__])


def _struct(value: Any) -> Apart:
    return _attributes(value, list(type(value).__struct_fields__))


def _model(value: Any) -> Apart:
    """Return the parts of a pydantic model: its fields, extra fields and private attributes."""
    own, extra, private = vars(value), value.__pydantic_extra__ or {}, _private(value)
    names = [*own, *extra, *private]

    def together(parts: list[Any]) -> Any:
        twin = _twin_of_model(value)
        new = iter(parts)
        for holder, count in ((vars(twin), own), (twin.__pydantic_extra__, extra), (_private(twin), private)):
            for name in count:
                holder[name] = next(new)
        return twin

    parts = [*own.values(), *extra.values(), *private.values()]
    return Apart(parts, lambda index: f".{names[index]}", together)


def _twin_of_model(value: Any) -> Any:
    # Created by hand: a copy of a root model would also copy its content.
    kind: Any = type(value)
    twin = kind.__new__(kind)
    for name in ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__"):
        object.__setattr__(twin, name, copy(getattr(value, name, None)))
    return twin


def _private(model: Any) -> dict[str, Any]:
    # It may be unset in a model that was created without validation.
    return getattr(model, "__pydantic_private__", None) or {}


def _old_model(value: Any) -> Apart:
    """Return the parts of a model of pydantic's version 1."""
    # Python's own copy of these shares its attributes with the original.
    return _attributes(value, list(vars(value)), make_twin=type(value).copy)


def _is_array(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, numpy.ndarray)


def _array(value: Any) -> Apart:
    if value.dtype != object:
        return Apart((), _by_index, list)

    def together(parts: list[Any]) -> Any:
        twin = value.copy()
        for index, part in enumerate(parts):
            twin.flat[index] = part
        return twin

    return Apart(list(value.flat), _by_index, together)


def _unknown_mapping(value: Any) -> Apart:
    return _of_mapping(value, type(value)) if len(value) <= LONGEST_UNKNOWN else Apart((), _by_index, list)


def _unknown_collection(value: Any) -> Apart:
    parts = list(value) if len(value) <= LONGEST_UNKNOWN else ()
    return Apart(parts, _by_index, lambda new: type(value)(new))


_KNOWN: tuple[tuple[type, Taking], ...] = (
    (Mark, _mark),
    (dict, _dict),
    (list, _list),
    (tuple, _tuple),
    (set, _set),
    (frozenset, _set),
    (deque, _deque),
    (ChainMap, _chain),
    (UserDict, _namespace),
    (UserList, _namespace),
    (types.SimpleNamespace, _namespace),
    (types.MappingProxyType, _proxy),
    (functools.partial, _partial),
    (ValuesView, _view),
    (KeysView, _view),
    (ItemsView, _view),
)
# Classes that are recognized by an attribute, so that their packages need not be imported.
_MARKED: tuple[tuple[str, Taking], ...] = (
    ("__pydantic_extra__", _model),
    ("__attrs_attrs__", _attrs),
    ("__dataclass_fields__", _dataclass),
    ("__struct_fields__", _struct),
    ("__fields_set__", _old_model),
)
_WITHOUT_PARTS = (str, bytes, bytearray, memoryview, range)
_ABSTRACT: tuple[tuple[Any, Taking | None], ...] = (
    (_WITHOUT_PARTS, None),
    (Mapping, _unknown_mapping),
    (Sequence, _unknown_collection),
    (Set, _unknown_collection),
)
