"""The environment and command of an attempt's container, from which its flow gets everything that it needs.

Nothing of it is passed as arguments, which every user of the machine can read.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from orionflow.agent.containers.templates import Job, NotStarted
from orionflow.agent.launching import API_KEY, API_URL, environment_of_runs
from orionflow.settings import PREFIX

ORDER_VARIABLE, REPORT_VARIABLE = "ORION_ATTEMPT", "ORION_AGENT_REPORT"
COMMAND = ("python", "-P", "-m", "orionflow.agent.contained")
# These name folders and credentials of the agent's machine.
NOT_PASSED_ON = frozenset({"ORION_HOME", "ORION_PROFILE", API_URL, API_KEY})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# The kernel accepts no longer variable.
LONGEST = 120_000


@dataclass(frozen=True, slots=True)
class Origin:
    """The owner of containers: an agent, by its name, of one pool of one server."""

    agent: str
    pool: str
    api: str

    @classmethod
    def of(cls, agent: str, pool: str, api_url: str) -> Origin:
        return cls(agent, pool, hashlib.sha256(api_url.rstrip("/").encode()).hexdigest()[:16])


def name_of(key: str) -> str:
    """Return the name of an attempt's container, so that a second one of the same attempt cannot be created."""
    return f"orion-{key.replace(':', '-')}"


def environment_for(order: Mapping[str, Any], job: Job, *, report: str, api_url: str) -> dict[str, str]:
    """Return the variables of a container. Raise NotStarted for an invalid name or value."""
    passed_on = {name: value for name, value in environment_of_runs().items() if name.startswith(PREFIX)}
    settings = {name: value for name, value in passed_on.items() if name not in NOT_PASSED_ON}
    wanted = {str(name): str(value) for name, value in (job.get("env") or {}).items() if value is not None}
    # Includes the token of the run, if the agent has a key.
    own = {name: value for name, value in order["env"].items() if name == API_KEY}
    environment = {
        **settings,
        **own,
        **wanted,
        API_URL: api_url,
        ORDER_VARIABLE: json.dumps(_attempt(order, api_url), ensure_ascii=False, default=str),
        REPORT_VARIABLE: report,
        "PYTHONUNBUFFERED": wanted.get("PYTHONUNBUFFERED", "1"),
    }
    for name, value in environment.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise NotStarted(f"env.{name} in the job variables cannot be a variable of an environment.")
        if len(value.encode()) > LONGEST:
            raise NotStarted(f"env.{name} is longer than {LONGEST // 1000} kB; pass it as a parameter or a block.")
    return environment


def _attempt(order: Mapping[str, Any], api_url: str) -> dict[str, Any]:
    deployment = {name: value for name, value in order["deployment"].items() if name != "job_variables"}
    kept = ("flow_run_id", "epoch", "name", "flow_name", "limit", "working_dir")
    return {**{name: order.get(name) for name in kept}, "deployment": deployment, "api_url": api_url}


def command_of(job: Job) -> list[str]:
    command = job.get("command")
    try:
        return shlex.split(command) if isinstance(command, str) else list(command or COMMAND)
    except ValueError as error:
        raise NotStarted(f"command in the job variables is not a command line: {error}.") from error


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.endswith(".localhost")
