"""Functions of the user that are called when a run enters a state. What they raise is logged and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orionflow.errors import UsageError

Hook = Callable[[Any, Any, Any], Any]


class Hooks(list[Hook]):
    """The hooks for one kind of event; called with a function, which makes it a decorator, it takes up that one too.

    @etl.on_failure
    def page_somebody(flow, flow_run, state): ...
    """

    def __call__(self, hook: Hook) -> Hook:
        self.append(hook)
        return hook


def hooks_from(option: Iterable[Hook] | None, argument: str) -> Hooks:
    """Raises UsageError for anything that is not a list of functions."""
    if option is None:
        return Hooks()
    # Hooks are callable too: `with_options` hands on those that a flow has.
    is_one_function = callable(option) and not isinstance(option, Hooks)
    if is_one_function or isinstance(option, str) or not isinstance(option, Iterable):
        raise UsageError(f"{argument} takes a list of functions: {argument}=[tell_somebody].")
    hooks = Hooks(option)
    for hook in hooks:
        if not callable(hook):
            raise UsageError(f"{argument} takes functions, and {hook!r} is none.")
    return hooks


def name_of(hook: Hook) -> str:
    return getattr(hook, "__name__", repr(hook))
