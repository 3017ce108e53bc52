"""Selectors of the dashboard: one function for each page or part of one, with a bounded number of queries."""

from __future__ import annotations
