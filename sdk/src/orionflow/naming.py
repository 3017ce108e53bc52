"""Names of runs, from templates such as "load-{table}" or from callables."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from orionflow.errors import UsageError

NameOption = str | Callable[..., str] | None


def checked_name_option(option: NameOption, argument: str) -> NameOption:
    """The option; raises UsageError for what is neither a template nor a callable."""
    if option is not None and not isinstance(option, str) and not callable(option):
        raise UsageError(f"{argument} must be a text such as 'load-{{table}}', or a function that returns one.")
    return option


def run_name(option: str | Callable[..., str], parameters: Mapping[str, Any], argument: str) -> str:
    """The name that a template or a callable gives to a run with these parameters.

    A callable takes nothing, or the parameters as its one argument `parameters`.
    """
    name = _called(option, parameters) if callable(option) else _filled(option, parameters, argument)
    if not isinstance(name, str):
        raise UsageError(f"{argument} must return a text, not a {type(name).__name__}.")
    return name


def _called(option: Callable[..., str], parameters: Mapping[str, Any]) -> str:
    takes_parameters = "parameters" in inspect.signature(option).parameters
    return option(parameters=dict(parameters)) if takes_parameters else option()


def _filled(template: str, parameters: Mapping[str, Any], argument: str) -> str:
    try:
        return template.format(**parameters)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        known = ", ".join(parameters) or "none"
        raise UsageError(
            f"{argument}={template!r} cannot be filled in ({error}); the parameters to use in braces are: {known}."
        ) from None
