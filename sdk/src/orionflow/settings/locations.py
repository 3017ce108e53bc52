"""Named locations of results as written in settings: `lake=s3://bucket/results, team=/data/team`, or a JSON object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orionflow.contract.kinds import LOCATION_NAME

NAME = re.compile(LOCATION_NAME)


@dataclass(frozen=True, slots=True)
class Location:
    """A folder or an address for fsspec, such as s3://bucket/results, and the options of its file system."""

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


def location(name: str, url: object, options: object = None) -> Location:
    """Return a validated location. Raise ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"names a location {name!r}; use lower-case letters, digits, - and _")
    if not isinstance(url, str) or not url.strip():
        raise ValueError(f"gives the location {name!r} no folder or address")
    if not isinstance(options, dict | None):
        raise ValueError(f"gives the location {name!r} options that are not an object")
    return Location(name, _checked_url(name, url.strip()), options or {})


def _checked_url(name: str, url: str) -> str:
    if "://" not in url:
        path = Path(url).expanduser()
        if not path.is_absolute():
            raise ValueError(f"gives the location {name!r} the folder {url!r}, which depends on where a program starts")
        return str(path)
    if "::" in url:
        # A chain of file systems, of which the first may be of any kind.
        raise ValueError(f"gives the location {name!r} an address with :: in it, which is none of one file system")
    return url


def read_locations(raw: str) -> tuple[Location, ...]:
    given = _from_json(raw) if raw.startswith("{") else _from_list(raw)
    return tuple(location(name, url, options) for name, (url, options) in given.items())


def _from_list(raw: str) -> dict[str, tuple[object, object]]:
    found: dict[str, tuple[object, object]] = {}
    for one in filter(None, map(str.strip, raw.split(","))):
        name, separator, url = one.partition("=")
        if not separator:
            raise ValueError("is not a list of NAME=FOLDER or NAME=ADDRESS, by comma, and no JSON object of them")
        found[name.strip()] = url, None
    return found


def _from_json(raw: str) -> dict[str, tuple[object, object]]:
    import json

    try:
        given = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from None
    found: dict[str, tuple[object, object]] = {}
    for name, one in given.items():
        options = dict(one) if isinstance(one, dict) else {"url": one}
        found[str(name)] = options.pop("url", None), options
    return found
