"""A flow inside a package."""

from __future__ import annotations

from flows import etl

__all__ = ["etl"]
