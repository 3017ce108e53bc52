"""Events with the API through its whole stack, and a receiver for what is sent to the outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from events.notifications.core.delivering import Circuits
from events.notifications.services import notifications
from tests.api.conftest import api, counted  # noqa: F401  (fixtures)
from tests.events.automations import NOTHING, trigger
from tests.events.receiver import Receiver, receiving
from tests.factories import NOON


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    settings.ORION_WEBHOOK_ALLOW = ["127.0.0.1"]
    notifications._circuits = Circuits()
    with receiving() as one:
        yield one


@pytest.fixture
def make(api, monkeypatch):  # noqa: F811  (the fixture of that name)
    """Makes an automation at noon of the tests' day."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOON)
    monkeypatch.setattr("events.automations.api.automations.current_time", lambda: NOON)

    def made(asked=None, *actions, **fields):
        body = {
            "name": "mine",
            "trigger": asked or trigger(),
            "actions": [NOTHING, *actions][bool(actions) :],
            **fields,
        }
        return api.send("/automations/", body)

    return made
