"""The services as programs see them: what ticked when, how far behind it is, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from typing_extensions import TypedDict

from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orchestration.api.operations import Operation
from orchestration.database_clock import database_now
from orion_site.accounts.permissions import Action
from orion_site.services.registry import descriptions_of_services


class ServiceOut(TypedDict):
    name: str
    description: str
    verdict: Literal["well", "behind", "failing"]
    every_seconds: float
    last_tick: datetime | None
    lag_seconds: float
    last_seconds: float
    last_success: datetime | None
    ticks: int
    errors: int
    last_error: str
    last_error_at: datetime | None
    ticker: str


class ReadServices(Operation):
    """List the last ticks of each service, whichever process ticked it. Ticks are recorded every five seconds or so."""

    method = "GET"
    action_required = Action.READ_SETTINGS
    answers = {200: list[ServiceOut]}

    def perform(self) -> list[ServiceOut]:
        return services_told(services_and_health(now=database_now()))


def services_told(services: Sequence[ServiceHealth]) -> list[ServiceOut]:
    descriptions = descriptions_of_services()
    return [_told(service, descriptions.get(service.record.name, "")) for service in services]


def _told(service: ServiceHealth, description: str) -> ServiceOut:
    record = service.record
    return {
        "name": record.name,
        "description": description,
        "verdict": service.verdict,
        "every_seconds": record.every_seconds,
        "last_tick": record.last_tick,
        "lag_seconds": round(service.lag, 3),
        "last_seconds": record.last_seconds,
        "last_success": record.last_success,
        "ticks": record.ticks,
        "errors": record.errors,
        "last_error": record.last_error,
        "last_error_at": record.last_error_at,
        "ticker": record.ticker,
    }
