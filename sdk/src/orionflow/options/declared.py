"""Options of flows and tasks, declared in their classes: each with its check and its default.

A check gets the value and the name of the option, and returns the value to keep or raises UsageError. The types of the
options are in `orionflow.options.keywords`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast

from orionflow.options.checks import (
    check_known,
    checked_expiration,
    checked_persist,
    checked_serializer,
    checked_storage,
    checked_tags,
    checked_timeout,
)
from orionflow.options.hooks import hooks_from
from orionflow.options.retries import checked_count

Checked = TypeVar("Checked")
# Options whose values depend on the function or on another option; the classes set them themselves.
COMPUTED = frozenset({"name", "description", "version", "retry_delay_seconds"})


class Option:
    """A declared option, and its default for objects that have no value: pickles of a version without this option."""

    __slots__ = ("check", "default", "name")

    def __init__(self, check: Callable[[Any, str], Any], default: Any) -> None:
        self.check = check
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else self.check(self.default, self.name)


def option(check: Callable[[Any, str], Checked], default: Any = None) -> Checked:
    """Declare an option in the body of a class. Objects of the class have the checked value as their attribute."""
    return cast("Checked", Option(check, default))


def as_given(value: Any, name: str) -> Any:
    """Keep any value as it is."""
    return value


class Declared:
    """The common part of flows and tasks: most of their options, and how they are copied."""

    # The names of all options of a class, and those of them that are declared.
    option_names: ClassVar[frozenset[str]]
    _options: ClassVar[Mapping[str, Option]]

    is_async: bool

    tags = option(checked_tags)
    crash_retries = option(checked_count, 0)
    timeout_seconds = option(checked_timeout)
    persist_result = option(checked_persist)
    result_storage = option(checked_storage)
    result_serializer = option(checked_serializer)
    result_expiration = option(checked_expiration)
    cache_result_in_memory: bool = option(as_given, True)
    log_prints: bool | None = option(as_given)
    on_completion = option(hooks_from)
    on_failure = option(hooks_from)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kinds = reversed(cls.__mro__)
        cls._options = {name: one for kind in kinds for name, one in vars(kind).items() if isinstance(one, Option)}
        cls.option_names = COMPUTED.union(cls._options)

    @classmethod
    def _check_names(cls, given: Mapping[str, Any]) -> None:
        """Raise UsageError for options that there are not."""
        check_known(given, cls.option_names, f"{cls.__name__}s")

    def _take_after(self, function: Any) -> None:
        """Take the name, the docstring and the attributes of the function, but for attributes that the class has."""
        wrapper: Any = self
        more = getattr(function, "__dict__", {})
        vars(self).update({name: more[name] for name in more if not hasattr(type(self), name)})
        functools.update_wrapper(wrapper, function, updated=())

    def _set_options(self, given: Mapping[str, Any]) -> None:
        """Check the options that are declared, and set them as attributes."""
        self._check_names(given)
        for name, one in self._options.items():
            setattr(self, name, one.check(given.get(name, one.default), name))
        if self.result_storage is not None:
            from orionflow.results import name_option

            name_option(self.result_storage)

    @property
    def isasync(self) -> bool:
        """Whether the function is async."""
        return self.is_async

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __reduce__(self) -> Any:
        from orionflow.values.pickling import reduced

        return reduced(self)
