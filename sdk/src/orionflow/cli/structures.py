"""Files of JSON or YAML, as commands take them; `-` is stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from orionflow.cli.boundary import CommandFailed
from orionflow.cli.exit_codes import ExitCode


def read_structure(file: str) -> Any:
    """What a file holds as plain values. One that is not there is exit 5, one that cannot be understood exit 2."""
    text = sys.stdin.read() if file == "-" else _text_of(file)
    try:
        return json.loads(text)
    except ValueError as error:
        if file.endswith(".json"):
            raise CommandFailed(ExitCode.USAGE, f"{file} is not JSON.", str(error)) from None
    return _read_yaml(text, file)


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no file {file!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be read.", str(error)) from None


def _read_yaml(text: str, file: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise CommandFailed(
            ExitCode.USAGE, f"Reading {file} needs a YAML library.", fix='pip install "orionflow[yaml]", or write JSON'
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandFailed(ExitCode.USAGE, f"{file} cannot be understood.", " ".join(str(error).split())) from None
