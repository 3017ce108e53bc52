"""The API's own machinery, and the operations of the rules engine. DRF is made light before anybody imports it."""

from __future__ import annotations

from orchestration.api import lean_drf  # noqa: F401
