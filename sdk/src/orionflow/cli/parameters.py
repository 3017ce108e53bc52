"""Values on the command line: JSON, @FILE, @- for stdin, `name=value`, and files of JSON or YAML."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import click

from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.extras import install_command
from orionflow.spelling import did_you_mean

# Single parameters, or all at once; a command gets them among its keyword arguments.
PARAMETERS: tuple[click.Parameter, ...] = (
    click.Option(["-p", "--param", "pairs"], metavar="NAME=VALUE", multiple=True, help="One parameter; JSON or text."),
    click.Option(["--params"], metavar="JSON", help="All parameters as one JSON object, or @FILE."),
)


def read_parameters(fn: Callable[..., Any], pairs: Sequence[str], whole: str | None) -> dict[str, Any]:
    """Return all parameters, checked against the function's names. Single ones take precedence over those in a file."""
    parameters = {**read_whole(whole), **read_pairs(pairs, "-p", texts=_text_parameters(fn))}
    check_names(fn, parameters)
    return parameters


def read_pairs(pairs: Sequence[str], option: str, *, texts: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Read `name=value` pairs; values are JSON or text, and always text for the names in `texts`."""
    read: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise click.UsageError(f"{option} {pair!r} has no value; write {option} {name}=value.")
        read[name] = value if name in texts else _read_value(value)
    return read


def properties_of(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the fields that a schema of parameters names. A schema that is not enforced may be invalid."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: one if isinstance(one, dict) else {} for name, one in properties.items()}


def text_fields(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of a schema whose values stay text, even if they look like JSON."""
    return frozenset(name for name, one in properties_of(schema).items() if one.get("type") == "string")


def read_whole(text: str | None, option: str = "--params") -> dict[str, Any]:
    """Return all values of an option such as `--params`: a JSON object, or a file with one."""
    if text is None:
        return {}
    read = read_json(text, option)
    if not isinstance(read, dict):
        raise click.UsageError(f'{option} must be a JSON object: {{"name": value}}.')
    return read


def _read_value(text: str) -> Any:
    """Return the value of JSON, or else the text itself, so that a date needs no second pair of quotes."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _text_parameters(fn: Callable[..., Any]) -> frozenset[str]:
    """Return the parameters declared as text: `-p zip=01234` must not become a number."""
    try:
        hints = get_type_hints(fn)
    except Exception:
        # Annotations that do not exist at run time are not an error here.
        return frozenset()
    return frozenset(name for name, hint in hints.items() if hint is str or hint == str | None)


def check_names(fn: Callable[..., Any], given: dict[str, Any]) -> None:
    """Refuse unknown names, and missing required ones."""
    known = check_known_names(fn, given)
    signature = inspect.signature(fn).parameters
    missing = [name for name in known if name not in given and signature[name].default is inspect.Parameter.empty]
    if missing:
        raise click.UsageError(
            f"{fn.__name__} needs {', '.join(missing)}; add {' '.join(f'-p {n}=…' for n in missing)}."
        )


def check_known_names(fn: Callable[..., Any], given: dict[str, Any]) -> list[str]:
    """Refuse unknown names; return the names of the function's parameters."""
    signature = inspect.signature(fn).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.values())
    known = [name for name, one in signature.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    for name in given:
        if name not in known and not takes_any:
            hint = did_you_mean(name, known, f"it takes {', '.join(known) or 'none'}.", most=1)
            raise click.UsageError(f"{fn.__name__} has no parameter {name!r}; {hint}")
    return known


def read_structure(file: str) -> Any:
    """Read a file as plain values. Exit with 5 if it does not exist, and with 2 if it cannot be parsed."""
    return parse_structure(sys.stdin.read() if file == "-" else read_text(file), file)


def read_text(file: str) -> str:
    """Read a file. Exit with 5 if it does not exist, and with 2 if it cannot be read."""
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {file!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be read.", str(error)) from None


def parse_structure(text: str, file: str, fix: str = "") -> Any:
    """Parse the text of a file as plain values: JSON, or YAML. Exit with 2 if it is neither."""
    unclear = f"{file} cannot be understood."
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if file.endswith(".json"):
            raise CommandFailed(ExitCode.USAGE, unclear, str(error), fix) from None
    try:
        import yaml
    except ImportError:
        fix = f"{install_command('yaml')}, or write JSON"
        raise CommandFailed(ExitCode.USAGE, f"Reading {file} needs a YAML library.", fix=fix) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandFailed(ExitCode.USAGE, unclear, " ".join(str(error).split()), fix) from None


def read_json(text: str, option: str) -> Any:
    """Read JSON from the command line, from a file (@FILE), or from stdin (@-)."""
    if text == "@-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = _file(text[1:], option)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise click.UsageError(f"{option} is not JSON: {error}.") from None


def _file(name: str, option: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {name!r}, which {option} names.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(
            f"{option} @{name} cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
