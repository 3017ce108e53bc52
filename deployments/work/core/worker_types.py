"""The types of work pools that clients can ask for, each with its initial job template."""

from __future__ import annotations

from typing import Any

from orionflow.contract.job_templates import default_job_template
from orionflow.contract.kinds import AGENT_POOL

_NAME = "The name of the process in lists."
_ENV = "Environment variables of the process, in addition to those of its worker."
_LABELS = "Labels of the process, as names with values."
_COMMAND = "The command to execute instead of the default one, which runs the flow."
_STREAM = "Whether the worker prints the output of the process."
_FOLDER = "The working directory of the process; by default a temporary folder."
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}

_PROCESS_VARIABLES: dict[str, dict[str, Any]] = {
    "name": {"title": "Name", "description": _NAME, "type": "string"},
    "env": {"title": "Environment Variables", "description": _ENV, **_TEXTS},
    "labels": {"title": "Labels", "description": _LABELS, **_TEXTS},
    "command": {"title": "Command", "description": _COMMAND, "type": "string"},
    "stream_output": {"title": "Stream Output", "description": _STREAM, "default": True, "type": "boolean"},
    "working_dir": {"title": "Working Directory", "description": _FOLDER, "type": "string", "format": "path"},
}


def worker_types() -> dict[str, dict[str, dict[str, Any]]]:
    """Return, by package and by type of pool, what clients show and use as the initial template."""
    process = {
        "job_configuration": {name: f"{{{{ {name} }}}}" for name in _PROCESS_VARIABLES},
        "variables": {"type": "object", "properties": _PROCESS_VARIABLES},
    }
    return {
        "prefect": {
            AGENT_POOL: _worker_type(AGENT_POOL, "Agent", "Agents take the runs and execute them.", {}),
            "process": _worker_type("process", "Process", "Workers execute each run in a process of its own.", process),
        },
        "orion": {
            "docker": _worker_type(
                "docker", "Docker", "Agents execute each run in a container.", default_job_template("docker")
            ),
            "kubernetes": _worker_type(
                "kubernetes", "Kubernetes", "Agents execute each run as a Job.", default_job_template("kubernetes")
            ),
        },
    }


def _worker_type(type: str, display_name: str, description: str, template: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": type,
        "display_name": display_name,
        "description": description,
        "default_base_job_configuration": template,
        "documentation_url": "https://docs.prefect.io/",
        "logo_url": None,
        "install_command": "pip install prefect",
        "is_beta": False,
    }
