"""Import DRF without its optional dependencies, and without the admin of Django.

They are 300 modules, and a quarter of the time until a script runs its first task (130 of 530 ms when measured).
`rest_framework.compat` imports whatever is installed and has no setting to prevent it, but it handles packages that
cannot be imported. Import this module before `rest_framework`. Orion has no model serializers, so it does not need the
fields of PostgreSQL; where that is the database, its driver is loaded anyway. Nor does it use the browsable API, which
colours code, or the schemas of DRF, which take one function from the documentation of the admin.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_OFFERS = ("django.contrib.postgres.fields", "pygments", "requests", "yaml")
_OF_ADMIN = "django.contrib.admindocs.views"


def _simplify_regex(pattern: str) -> str:
    from django.contrib.admindocs.views import simplify_regex

    return simplify_regex(pattern)


if "rest_framework.schemas" not in sys.modules:
    of_admin: Any = ModuleType(_OF_ADMIN)
    of_admin.simplify_regex = _simplify_regex
    # None in sys.modules makes an import fail as if the package were not installed, which DRF handles.
    substitutes = {**dict.fromkeys(_OFFERS), _OF_ADMIN: of_admin}
    absent = [name for name in substitutes if name not in sys.modules]
    sys.modules.update({name: substitutes[name] for name in absent})
    try:
        import rest_framework.schemas  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
