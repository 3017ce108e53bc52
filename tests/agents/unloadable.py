"""Code that ends before there is a flow in it."""

from __future__ import annotations

raise LookupError("this module cannot be imported")
