"""A program of the other client: blocks that notify, nested blocks, and deployments that events set off."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.blocks.core import Block
from prefect.blocks.notifications import OpsgenieWebhook, SlackWebhook
from prefect.blocks.system import Secret
from prefect.events import DeploymentEventTrigger


class Account(Block):
    """A block that holds another one."""

    key: Secret
    region: str = "eu"


@flow
def reacting(sensor: str, n: int = 1) -> None:
    """Set off by events."""


def keep_blocks() -> dict[str, Any]:
    SlackWebhook(url="https://hooks.example.org/T1").save("team", overwrite=True)
    OpsgenieWebhook(apikey="k", target_team=["ops"]).save("pager", overwrite=True)
    for key in ("first", "second"):
        Account(key=Secret(value=key)).save("mine", overwrite=True)
    return {
        "url": SlackWebhook.load("team").url.get_secret_value(),
        "teams": OpsgenieWebhook.load("pager").target_team,
        "key": Account.load("mine").key.get(),
    }


def deploy() -> str:
    triggers = [
        DeploymentEventTrigger(
            name="when a sensor speaks",
            expect={"sensor.spoke"},
            parameters={"sensor": "{{ event.resource.id }}", "n": 3},
        ),
        {"match": {"prefect.resource.id": "sensor.*"}, "expect": ["never"], "enabled": False},
    ]
    deployment = reacting.to_deployment("by-event", triggers=triggers)
    deployment.entrypoint = f"{Path(__file__).name}:reacting"
    return str(deployment.apply())


if __name__ == "__main__":
    import json

    print(json.dumps({"blocks": keep_blocks, "deploy": deploy}[sys.argv[1]]()))
