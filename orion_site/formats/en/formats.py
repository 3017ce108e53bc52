"""Dates of the admin: the longest part first, so that they sort as texts, and twenty-four hours."""

from __future__ import annotations

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s"
