"""A file that cannot be imported."""

from __future__ import annotations

NUMBER = 1 // 0
