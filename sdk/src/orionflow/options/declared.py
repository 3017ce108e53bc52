"""Flows and tasks alike: how they are called, and their options, declared with their checks and defaults.

A check gets the value and the name of the option, and returns the value to keep or raises UsageError. The types of the
options are in `orionflow.options.keywords`.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

from orionflow.code.sources import is_async_function, note_decorated, unwrapped
from orionflow.errors import UsageError
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
from orionflow.options.parameters import Signature
from orionflow.options.retries import checked_count

if TYPE_CHECKING:
    from orionflow.states import State

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
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


class Declared(Generic[P, R]):
    """The common part of flows and tasks: how they are called and copied, and most of their options."""

    # What messages call an object of the class, also of a subclass: "flow" or "task".
    _kind: ClassVar[str]
    # The names of all options of a class, and those of them that are declared.
    option_names: ClassVar[frozenset[str]]
    _options: ClassVar[Mapping[str, Option]]

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

    name: str
    signature: Signature
    _signature_of_methods: Signature | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kinds = reversed(cls.__mro__)
        cls._options = {name: one for kind in kinds for name, one in vars(kind).items() if isinstance(one, Option)}
        cls.option_names = COMPUTED.union(cls._options)

    @classmethod
    def _check_names(cls, given: Mapping[str, Any]) -> None:
        """Raise UsageError for options that there are not."""
        check_known(given, cls.option_names, f"{cls._kind.title()}s")

    def _wrap(self, fn: Callable[P, R], options: Mapping[str, Any]) -> Any:
        """Take over a function, its description and the declared options. Return the function without its binding."""
        function, self._binding = unwrapped(fn, self._kind)
        self._take_after(function)
        self.fn: Callable[P, R] = function
        note_decorated(function)
        self._set_options(options)
        self.description = options.get("description") or inspect.getdoc(function)
        self.is_async = is_async_function(function)
        return function

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

    def _refuse_lost_results(self, kind: str, results: str) -> None:
        """Raise UsageError if the options keep the results nowhere."""
        if self.persist_result is False and not self.cache_result_in_memory:
            raise UsageError(
                f"{kind} keeps its {results} neither stored nor in memory; "
                "drop persist_result=False or cache_result_in_memory=False."
            )

    # The overloads: the value of an async function is the result of its coroutine; `return_state` and `wait_for` are
    # Orion's own.
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(
        self: Declared[..., Coroutine[Any, Any, T]],
        /,
        *args: Any,
        return_state: Literal[True],
        wait_for: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, State[T]]: ...
    @overload
    def __call__(
        self, /, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> State[R]: ...
    @overload
    def __call__(
        self, /, *args: Any, return_state: Literal[False] = False, wait_for: Iterable[Any] | None, **kwargs: Any
    ) -> R: ...
    @overload
    def __call__(
        self, /, *args: Any, return_state: bool, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any: ...
    # Functions with parameters of these names are refused by the decorator; the type system cannot express that.
    def __call__(  # type: ignore[misc]
        self, /, *args: Any, return_state: bool = False, wait_for: Iterable[Any] | None = None, **kwargs: Any
    ) -> Any:
        """Run the function here and return its value, or with `return_state=True` the final state of the run."""
        return self._call(args, kwargs, wait_for, return_state)

    def _call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Iterable[Any] | None, return_state: bool
    ) -> Any:
        raise NotImplementedError

    def _as_method(self, instance: object, owner: type | None) -> Self:
        """Return a copy that passes the object or the class to the function, or itself where nothing is passed."""
        bound = self._binding.bind(self.fn, instance, owner)
        if bound is None:
            return self
        if self._signature_of_methods is None:
            # Every object has the same: binding only takes away the first parameter.
            self._signature_of_methods = Signature(MethodType(self.fn, self), self.name)
        method = copy.copy(self)
        method.fn = bound
        method.signature = self._signature_of_methods
        method._signature_of_methods = None
        return method

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
