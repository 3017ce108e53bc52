from __future__ import annotations

from tests.security.conftest import ada, asker
from tests.web.conftest import browser

__all__ = ["ada", "asker", "browser"]
