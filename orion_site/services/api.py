"""The services in the API: when each ran last, how late it is, and its last error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.upkeep.selectors.service_health import ServiceHealth, services_and_health
from orchestration.api.answers import as_answer
from orchestration.api.operations import Operation
from orchestration.database_clock import database_now
from orion_site.accounts.permissions import Action
from orion_site.services.registry import descriptions_of_services
from orionflow.contract.records import Service


class ReadServices(Operation):
    """List the last ticks of each service, whichever process ticked it. Ticks are recorded every five seconds or so."""

    method = "GET"
    action_required = Action.READ_SETTINGS
    answers = {200: list[Service]}

    def perform(self) -> list[dict[str, Any]]:
        return services_out(services_and_health(now=database_now()))


def services_out(services: Sequence[ServiceHealth]) -> list[dict[str, Any]]:
    descriptions = descriptions_of_services()
    return [
        as_answer(
            Service,
            service.record,
            description=descriptions.get(service.record.name, ""),
            verdict=service.verdict,
            lag_seconds=round(service.lag, 3),
        )
        for service in services
    ]
