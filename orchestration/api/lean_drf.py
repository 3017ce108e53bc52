"""Import DRF without its optional dependencies, and without the admin of Django.

They are 300 modules, and a quarter of the time until a script runs its first task (130 of 530 ms when measured).
`rest_framework.compat` imports whatever is installed and has no setting to prevent it, but it handles packages that
cannot be imported. Import this module before `rest_framework`. Orion has no model serializers, so it does not need the
fields of PostgreSQL; where that is the database, its driver is loaded anyway. Its browsable pages show no colored code,
and it does not use DRF's schemas, which take one function from the documentation of the admin.
"""

from __future__ import annotations

import sys
import threading
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

_OFFERS = ("django.contrib.postgres.fields", "pygments", "requests", "yaml")
_OF_ADMIN = "django.contrib.admindocs.views"


def _simplify_regex(pattern: str) -> str:
    from django.contrib.admindocs.views import simplify_regex

    return simplify_regex(pattern)


class _Absent(MetaPathFinder):
    """Makes imports of the offers fail in this thread, as if they were not installed, which DRF handles."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname in _OFFERS and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"DRF is loaded without {fullname}.", name=fullname)


if "rest_framework.schemas" not in sys.modules:
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    is_known = _OF_ADMIN in sys.modules
    if not is_known:
        of_admin: Any = ModuleType(_OF_ADMIN)
        of_admin.simplify_regex = _simplify_regex
        sys.modules[_OF_ADMIN] = of_admin
    try:
        import rest_framework.schemas  # noqa: F401
    finally:
        sys.meta_path.remove(absent)
        if not is_known:
            del sys.modules[_OF_ADMIN]
