"""Import DRF without what it offers for PostgreSQL's field types: that alone is a third of the API's import time.

Imported before `rest_framework`. Orion has no model serializers, so nobody misses the fields; where PostgreSQL is the
database, its driver is loaded anyway.
"""

from __future__ import annotations

import sys

_OFFER = "django.contrib.postgres.fields"

if "rest_framework.compat" not in sys.modules and _OFFER not in sys.modules:
    # None in sys.modules makes the import fail as if the package were absent, which DRF provides for.
    sys.modules[_OFFER] = None  # type: ignore[assignment]
    try:
        import rest_framework.compat  # noqa: F401
    finally:
        del sys.modules[_OFFER]
