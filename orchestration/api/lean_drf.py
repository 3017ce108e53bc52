"""Import DRF without its optional dependencies: field types of PostgreSQL, a client for tests, YAML.

They are 250 modules, and a quarter of the time until a script runs its first task (130 of 530 ms when measured).
`rest_framework.compat` imports whatever is installed and has no setting to prevent it, but it handles packages that
cannot be imported. Import this module before `rest_framework`. Orion has no model serializers, so it does not need the
fields; where PostgreSQL is the database, its driver is loaded anyway.
"""

from __future__ import annotations

import sys

_OFFERS = ("django.contrib.postgres.fields", "requests", "yaml")

if "rest_framework.compat" not in sys.modules:
    absent = [name for name in _OFFERS if name not in sys.modules]
    # None in sys.modules makes an import fail as if the package were not installed, which DRF handles.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        import rest_framework.compat  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
