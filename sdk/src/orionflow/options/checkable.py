"""Annotations that pydantic cannot check, converted into checks that cover as much of them as possible, never more."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable
from typing import Any


def checkable(hint: Any) -> Any:
    """Return the annotation itself if pydantic supports it; otherwise a similar one, or one that accepts anything."""
    try:
        hint = _through(hint)
        _try(hint)
    except Exception:
        return Any
    return hint


def _try(hint: Any) -> None:
    """Raise an error for an annotation without a validator, such as one that contains an unknown name."""
    from pydantic import ConfigDict, TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        adapter: Any = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        # A model has a configuration of its own.
        adapter = TypeAdapter(hint)
    adapter.rebuild(raise_errors=True)


def _through(hint: Any) -> Any:
    if isinstance(hint, type) and not typing.get_args(hint):
        return _class(hint)
    if typing.get_origin(hint) in (typing.Final, typing.ClassVar):
        # They describe variables; for a parameter only the type in them matters.
        return _through(typing.get_args(hint)[0])
    parts = typing.get_args(hint)
    if not parts or typing.get_origin(hint) is typing.Literal:
        return hint
    new = tuple(_part(part) for part in parts)
    if all(made is part for made, part in zip(new, parts, strict=True)):
        return hint
    return _with_parts(hint, new)


def _part(part: Any) -> Any:
    # The arguments of a callable are a list.
    return part if isinstance(part, list) or part is ... else _through(part)


def _with_parts(hint: Any, parts: tuple[Any, ...]) -> Any:
    origin: Any = typing.get_origin(hint)
    if origin is typing.Annotated:
        return typing.Annotated[(parts[0], *hint.__metadata__)]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[parts]  # noqa: UP007
    if hasattr(hint, "copy_with"):
        return hint.copy_with(parts)
    return origin[parts]


def _class(kind: type) -> Any:
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        # Instances of such a protocol cannot be checked.
        return Any
    if _is_old_model(kind):
        return _old_model(kind)
    if sys.version_info < (3, 12) and typing.is_typeddict(kind) and type(kind).__module__ == "typing":
        return _typed_dict(kind)
    return kind


def _is_old_model(kind: type) -> bool:
    """Whether this is a model of pydantic's version 1, which version 2 does not accept."""
    modules = (sys.modules.get("pydantic.v1"), sys.modules.get("pydantic.v1.main"))
    return any(module is not None and issubclass(kind, module.BaseModel) for module in modules)


def _old_model(kind: Any) -> Any:
    from pydantic import BeforeValidator

    def read(value: Any) -> Any:
        return value if isinstance(value, kind) else kind.parse_obj(value)

    reader: Callable[[Any], Any] = read
    return typing.Annotated[Any, BeforeValidator(reader)]


def _typed_dict(kind: Any) -> Any:
    """Return the TypedDict as the class that pydantic supports before Python 3.12."""
    import typing_extensions

    required: frozenset[str] = kind.__required_keys__
    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        # If annotations are texts, the class itself does not know these marks.
        mark = typing.get_origin(hint)
        is_marked = mark in (typing.Required, typing.NotRequired)
        inner = _through(typing.get_args(hint)[0] if is_marked else hint)
        is_required = mark is typing.Required if is_marked else name in required
        fields[name] = inner if is_required else typing_extensions.NotRequired[inner]
    make: Any = typing_extensions.TypedDict
    return make(kind.__name__, fields)
