"""Print docs/reference/settings.md: `python -m orionflow.settings`."""

from __future__ import annotations

from orionflow.settings import settings_page

print(settings_page(), end="")
