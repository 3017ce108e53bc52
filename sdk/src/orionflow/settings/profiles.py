"""Settings in files: the profiles in the home, and the project's orion.toml or pyproject.toml `[tool.orion]`."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orionflow.errors import ProfileMissing, SettingsError
from orionflow.private_files import make_private_folder

Layer = tuple[str, Mapping[str, object]]
FILE_NAME = "profiles.toml"
DEFAULT_PROFILE = "default"
# Settings whose value is a table.
TABLES = frozenset({"results_locations"})
_BARE_KEY = re.compile(r"^[A-Za-z0-9_-]+$")


@dataclass(slots=True)
class Profiles:
    """The content of `profiles.toml`: named sets of raw settings, and the name of the active one."""

    path: Path
    active: str = DEFAULT_PROFILE
    profiles: dict[str, dict[str, object]] = field(default_factory=lambda: {DEFAULT_PROFILE: {}})

    def save(self) -> None:
        """Write the file in one step, so that readers never see half of it, and privately, as it may contain keys."""
        make_private_folder(self.path.parent)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(self.as_toml())
        os.replace(draft, self.path)

    def as_toml(self) -> str:
        lines = [f"active = {_toml(self.active)}"]
        for name, values in self.profiles.items():
            lines += [
                "",
                f"[profiles.{_key(name)}]",
                *(f"{_key(key)} = {_toml(value)}" for key, value in values.items()),
            ]
        return "\n".join(lines) + "\n"


# Parsing a long pyproject.toml takes milliseconds in each process, which most projects do not need.
_NAMES_US = re.compile(r"\borion\b")


def read_profiles(home: Path) -> Profiles:
    """Return the profiles of this home; without a file, an empty default profile."""
    path = home / FILE_NAME
    content = _read_toml(path)
    profiles = content.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(values, dict) for values in profiles.values()):
        raise SettingsError(f"{path} must hold one table [profiles.NAME] for each profile.")
    return Profiles(
        path, active=str(content.get("active", DEFAULT_PROFILE)), profiles={DEFAULT_PROFILE: {}, **profiles}
    )


def profile_layer(home: Path, wanted: str | None) -> list[Layer]:
    """Return the raw settings of the wanted profile, or else of the active one. The wanted one must exist."""
    found = read_profiles(home)
    name = wanted or found.active
    if name not in found.profiles:
        known = ", ".join(sorted(found.profiles))
        raise ProfileMissing(f"There is no profile {name!r} in {found.path}; it knows {known}.")
    values = {key: value for key, value in found.profiles[name].items() if key not in {"home", "profile"}}
    return [(f"profile {name} in {found.path}", {**values, "profile": name})]


def project_layer(folder: str | None) -> list[Layer]:
    """Return the raw settings of the nearest orion.toml or pyproject.toml with `[tool.orion]`, searching upwards."""
    if folder is None:
        return []
    for place in (Path(folder), *Path(folder).parents):
        if (own := place / "orion.toml").is_file():
            return [(str(own), _flat(_read_toml(own), own))]
        if (shared := place / "pyproject.toml").is_file():
            table = _read_toml(shared, if_it_has=_NAMES_US).get("tool", {}).get("orion")
            if table is not None:
                return [(f"{shared} [tool.orion]", _flat(table, shared))]
    return []


def _flat(table: dict[str, Any], path: Path, before: str = "") -> dict[str, object]:
    """Return nested tables with joined names: `[api] url = …` becomes `api_url = …`."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        name = before + str(key).replace("-", "_").lower()
        if isinstance(value, dict) and name not in TABLES:
            flat |= _flat(value, path, f"{name}_")
        else:
            flat[name] = value
    return flat


def _read_toml(path: Path, if_it_has: re.Pattern[str] | None = None) -> dict[str, Any]:
    try:
        # Editors on Windows write a byte order mark, which is not part of the text.
        text = path.read_text(encoding="utf-8-sig")
        return {} if if_it_has and not if_it_has.search(text) else tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None


def _key(name: str) -> str:
    return name if _BARE_KEY.match(name) else _toml(name)


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_key(str(key))} = {_toml(inner)}" for key, inner in value.items()) + "}"
    # A JSON string is a valid basic string of TOML, except for DEL, which TOML requires to be escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
