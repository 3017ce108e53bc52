"""The API and a browser on this machine."""

from __future__ import annotations

from tests.api.conftest import api
from tests.web.conftest import browser

__all__ = ["api", "browser"]
