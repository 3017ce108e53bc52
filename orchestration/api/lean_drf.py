"""Import DRF without what it offers to others: field types of PostgreSQL, a client for tests, YAML.

That is 250 modules and a quarter of what a script waits for before its first task (130 of 530 ms where measured).
`rest_framework.compat` imports whatever is installed and has no setting for it; a package that cannot be imported is
the one case it provides for. Imported before `rest_framework`. Orion has no model serializers, so nobody misses the
fields; where PostgreSQL is the database, its driver is loaded anyway.
"""

from __future__ import annotations

import sys

_OFFERS = ("django.contrib.postgres.fields", "requests", "yaml")

if "rest_framework.compat" not in sys.modules:
    absent = [name for name in _OFFERS if name not in sys.modules]
    # None in sys.modules makes the import fail as if the package were absent, which DRF provides for.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        import rest_framework.compat  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]
