"""Flows in a file, as those who deploy have them."""

from __future__ import annotations

from orionflow import flow


@flow(tags={"shop"}, overlap="skip", version="7")
def etl(day: str = "2026-01-01", limit: int = 5) -> int:
    """Load a day."""
    return limit


@flow(name="other-name")
def renamed() -> None: ...


alias = renamed


class Shop:
    @flow
    @staticmethod
    def count() -> int:
        return 1
