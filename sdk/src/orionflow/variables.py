"""Variables: texts on the server that programs read by name, such as an address or a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from orionflow.calls.variables import create_variable, read_variable, update_variable
from orionflow.engine.api import current_client
from orionflow.engine.drivers import drive_or_await
from orionflow.engine.effects import Steps, send
from orionflow.errors import Conflict, NotFound, UsageError


@dataclass(frozen=True, slots=True)
class Variable:
    """A named text on the server: `Variable.get("season").value`, `Variable.set("season", "summer", overwrite=True)`.

    - `name`, `value`: the name and the text.
    - `tags`: texts to find it by.
    """

    name: str
    value: str
    tags: list[str] = field(default_factory=list)

    @classmethod
    def get(cls, name: str, default: Any = None) -> Any:
        """Return the variable with this name. In coroutines, await it.

        - `name`: the name.
        - `default`: returned if there is none (default: `None`).
        """
        return drive_or_await(cls._got(name, default))

    @classmethod
    def set(cls, name: str, value: str, tags: Sequence[str] | None = None, overwrite: bool = False) -> Any:
        """Store a text under a name and return the variable. In coroutines, await it.

        - `name`, `value`: the name and the text.
        - `tags`: texts to find it by. When it is overwritten, `None` keeps those that it has.
        - `overwrite`: with `True`, replace a variable of that name (default: `False`).

        Raises `Conflict` if the name is taken, and `UsageError` if the value is not a text.
        """
        if not isinstance(value, str):
            raise UsageError(
                f"A variable holds text, and {name!r} was given {type(value).__name__}; pass str(value), or JSON."
            )
        return drive_or_await(cls._stored(name, value, tags, overwrite))

    @classmethod
    def _got(cls, name: str, default: Any) -> Steps[Any]:
        with current_client() as client:
            try:
                found = yield send(client, read_variable(name))
            except NotFound:
                return default
        return cls(found.name, found.value, found.tags)

    @classmethod
    def _stored(cls, name: str, value: str, tags: Sequence[str] | None, overwrite: bool) -> Steps[Variable]:
        with current_client() as client:
            try:
                made = yield send(client, create_variable(name, value, tags or ()))
            except Conflict:
                if not overwrite:
                    raise Conflict(
                        f"There is a variable {name!r} already; pass overwrite=True to give it another value."
                    ) from None
                yield send(client, update_variable(name, value, tags))
                made = yield send(client, read_variable(name))
        return cls(made.name, made.value, made.tags)


def get(name: str, default: Any = None) -> Any:
    """Return the text of the variable with this name, or the default. In coroutines, await it."""
    return drive_or_await(_text(name, default))


def _text(name: str, default: Any) -> Steps[Any]:
    found = yield from Variable._got(name, None)
    return default if found is None else found.value
