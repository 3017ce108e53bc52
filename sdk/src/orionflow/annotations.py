"""Marks that a program puts on an argument: `unmapped`, `allow_failure`, `quote`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Mark(Generic[T]):
    """An argument with a mark."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def unwrap(self) -> T:
        return self.value

    def rewrap(self, value: Any) -> Mark[Any]:
        """Return this mark on another value."""
        return type(self)(value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Mark) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self), id(self.value)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


# They are used like functions, so they are named like functions.
class unmapped(Mark[T]):  # noqa: N801
    """Pass one value to every run of a `map`: `power.map([1, 2, 3], unmapped(2))`.

    - `value`: the argument, which may be a list or anything else that could be iterated over.
    """

    __slots__ = ()


class allow_failure(Mark[T]):  # noqa: N801
    """Start a task even if an input fails: `report(allow_failure(future))`.

    - `value`: a future, or a collection that contains futures. For each one that did not complete, the task receives
      the exception in place of the value.
    """

    __slots__ = ()


class quote(Mark[T]):  # noqa: N801
    """Pass a large value without searching it for futures: `load(quote(rows))`.

    - `value`: the argument, which the task receives as it is. Futures in it are not waited for.
    """

    __slots__ = ()
