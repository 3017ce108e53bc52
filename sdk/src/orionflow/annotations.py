"""Marks that a program puts on an argument: `unmapped`, `allow_failure`, `quote`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Mark(Generic[T]):
    """An argument with a mark on it."""

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
    """`task.map(xs, unmapped(y))`: pass `y` unchanged to every run."""

    __slots__ = ()


class allow_failure(Mark[T]):  # noqa: N801
    """`task(allow_failure(future))`: run even if that input failed; its exception is then the argument."""

    __slots__ = ()


class quote(Mark[T]):  # noqa: N801
    """`task(quote(big))`: pass a value without searching it for futures."""

    __slots__ = ()
