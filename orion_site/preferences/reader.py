"""The preferences of a user's browser, and the cookie that stores them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.http import HttpRequest, HttpResponse

COOKIE = "orion_preferences"
# The longest cookie and key of a default view, in characters; longer ones are ignored.
LONGEST, LONGEST_VIEW = 2000, 40
VIEW = "view_"
# Browsers keep cookies for at most this long.
KEPT_SECONDS = 400 * 86_400
THEMES = {"system": "As the system", "light": "Light", "dark": "Dark"}
DENSITIES = {"normal": "Normal", "compact": "Compact"}
UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences of one browser. Missing or invalid values have their defaults."""

    theme: str = "system"
    density: str = "normal"
    # The zone other than UTC; empty for the browser's zone, which only scripts know.
    home_zone: str = ""
    in_utc: bool = False
    keys: bool = True
    reloads: bool = True
    # The view with which a list opens: its id, or the name of a built-in one.
    default_views: Mapping[str, str] = field(default_factory=dict)

    @property
    def zone(self) -> str:
        """The zone in which the server writes times; empty if a script converts them in the browser."""
        return UTC if self.in_utc else self.home_zone

    @property
    def home_zone_words(self) -> str:
        """Return `Buenos Aires` for `America/Argentina/Buenos_Aires`."""
        return self.home_zone.rpartition("/")[2].replace("_", " ") or "Local"

    @property
    def tzinfo(self) -> ZoneInfo:
        return ZoneInfo(self.zone or UTC)


@cache
def zones() -> tuple[str, ...]:
    """Return zones of places by name, without about a hundred former names."""
    return tuple(
        sorted(one for one in available_timezones() if "/" in one and not one.startswith(("Etc/", "SystemV/")))
    )


def read_preferences(request: HttpRequest) -> Preferences:
    given = dict(parse_qsl(request.COOKIES.get(COOKIE, "")[:LONGEST]))
    usual = Preferences()
    zone = given.get("home_zone", "")
    return Preferences(
        theme=given["theme"] if given.get("theme") in THEMES else usual.theme,
        density=given["density"] if given.get("density") in DENSITIES else usual.density,
        home_zone=zone if zone in zones() else usual.home_zone,
        in_utc=given.get("in_utc") == "yes",
        keys=given.get("keys") != "no",
        reloads=given.get("reloads") != "no",
        default_views={
            name.removeprefix(VIEW): key[:LONGEST_VIEW]
            for name, key in given.items()
            if name.startswith(VIEW) and len(name) <= LONGEST_VIEW
        },
    )


def write_preferences(response: HttpResponse, preferences: Preferences) -> None:
    given = {one.name: getattr(preferences, one.name) for one in fields(preferences)}
    given |= {f"{VIEW}{name}": key for name, key in given.pop("default_views").items()}
    text = urlencode({name: {True: "yes", False: "no"}.get(value, value) for name, value in given.items()})
    response.set_cookie(
        COOKIE, text, max_age=KEPT_SECONDS, path=settings.FORCE_SCRIPT_NAME or "/", httponly=True, samesite="Lax"
    )
