"""The API's own machinery, and the operations of the rules engine. Importing it first keeps the import of DRF light."""

from __future__ import annotations

from orchestration.api import lean_drf  # noqa: F401
