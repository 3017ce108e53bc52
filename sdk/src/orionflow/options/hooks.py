"""The user's functions that are called when a run enters a state. Their exceptions are logged and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from orionflow.errors import UsageError

Hook = Callable[[Any, Any, Any], Any]


class Hooks(list[Hook]):
    """The hooks for one kind of event. As a decorator, it adds the decorated function to them:

    @etl.on_failure
    def page_somebody(flow, flow_run, state): ...
    """

    def __call__(self, hook: Hook) -> Hook:
        self.append(hook)
        return hook


def hooks_from(option: Iterable[Hook] | None, argument: str) -> Hooks:
    """Return the hooks of an option; raise UsageError for anything but a list of functions."""
    if option is None:
        return Hooks()
    # Hooks are callable too: `with_options` passes on those of a flow.
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
