"""Names of runs, from templates such as "load-{table}" or from callables."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

from orionflow.code.sources import is_async_function
from orionflow.errors import UsageError
from orionflow.recordable import LONGEST_RUN_NAME, clean_text, short_text, warn

NameOption = str | Callable[..., str] | None


def checked_name_option(option: NameOption, argument: str) -> NameOption:
    """Return the option; raise UsageError if it is neither a template nor a callable."""
    if option is not None and not isinstance(option, str) and not callable(option):
        raise UsageError(f"{argument} must be a text such as 'load-{{table}}', or a function that returns one.")
    if callable(option) and is_async_function(option):
        raise UsageError(f"{argument} must be a text or a function, and not a coroutine function: nothing awaits it.")
    return option


def run_name(option: str | Callable[..., str], parameters: Mapping[str, Any], argument: str) -> str | None:
    """Return the name that a template or a callable gives to a run with these parameters, in a recordable form.

    A callable takes no argument, or the parameters as its only argument `parameters`. Return None if the parameters
    cannot be formatted as the template demands; the run then keeps its name.
    """
    try:
        name = _made(option, parameters, argument)
    except _Unshowable as error:
        warn("%s; the run keeps its usual name.", error)
        return None
    short = short_text(name, LONGEST_RUN_NAME)
    if type(name) is not str or short != name:
        warn("%s gave a name that cannot be recorded; the run is called %r.", argument, short)
    return short


def storage_key(template: str | Callable[..., str], parameters: Mapping[str, Any], argument: str) -> str:
    """Return the exact key that a template gives to a result, except for characters that files or records forbid."""
    try:
        key = _made(template, parameters, argument)
    except _Unshowable as error:
        raise UsageError(f"{error}.") from None
    if not isinstance(key, str):
        raise UsageError(f"{argument} must return a text, not a {type(key).__name__}.")
    if (clean := clean_text(key)) == key:
        return key
    import hashlib

    # Other keys may be cleaned to the same text.
    return f"{clean}-{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


class _Unshowable(Exception):
    """A value refuses the format that a template demands."""


def _made(option: str | Callable[..., str], parameters: Mapping[str, Any], argument: str) -> object:
    if not callable(option):
        return _filled(option, parameters, argument)
    made: object = option(parameters=dict(parameters)) if _takes_parameters(option) else option()
    if inspect.iscoroutine(made):
        made.close()
        raise UsageError(f"{argument} returned a coroutine, which nothing awaits; it must return a text.")
    return made


def _takes_parameters(option: Callable[..., str]) -> bool:
    try:
        return "parameters" in inspect.signature(option).parameters
    except ValueError:
        # Some builtins have no signature.
        return False


def _filled(template: str, parameters: Mapping[str, Any], argument: str) -> str:
    try:
        return template.format_map(_Named(parameters))
    except (_Missing, IndexError) as error:
        raise _wrong_template(template, parameters, argument, error) from None
    except Exception as error:
        if not _is_template(template):
            raise _wrong_template(template, parameters, argument, error) from None
        raise _Unshowable(
            f"{argument}={template!r} cannot be filled in ({traceback.format_exception_only(error)[-1].strip()})"
        ) from None


def _is_template(template: str) -> bool:
    try:
        return all(name is None or not name[:1].isdigit() for _, name, _, _ in Formatter().parse(template))
    except ValueError:
        return False


class _Missing(KeyError):
    """The template names something that is not a parameter."""


class _Named(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise _Missing(name)


def _wrong_template(template: str, parameters: Mapping[str, Any], argument: str, error: Exception) -> UsageError:
    known = ", ".join(parameters) or "none"
    return UsageError(
        f"{argument}={template!r} cannot be filled in ({error}); the parameters to use in braces are: {known}."
    )
