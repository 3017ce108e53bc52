"""Default job templates of pools of containers: the settings that a run may choose, and how they are applied.

The names of the variables are those of Prefect's pools.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_OBJECTS = {"type": "array", "items": {"type": "object"}}
# Access to the machine, secrets and tokens of the cluster may only be granted by the owner of the pool.
_NAMED_VOLUMES = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*:/[^:]*(:[A-Za-z,]+)?$"},
}
_OWN_NETWORKS = {
    "type": "array",
    "items": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", "not": {"enum": ["host"]}},
}
_POD_VOLUMES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            **{kind: {"type": "object"} for kind in ("emptyDir", "persistentVolumeClaim", "ephemeral", "configMap")},
        },
        "required": ["name"],
        "additionalProperties": False,
    },
}
_QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}


def _variable(title: str, description: str, shape: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": title, "description": description, **shape, **more}


_SHARED: dict[str, dict[str, Any]] = {
    "image": _variable("Image", "The image; it needs orionflow and what the flow imports.", {"type": "string"}),
    "command": _variable(
        "Command", "Executed instead of `python -m orionflow.agent.contained`, as one line.", {"type": "string"}
    ),
    "env": _variable("Environment variables", "They are laid over those of the image.", _TEXTS),
    "labels": _variable("Labels", "Names and values that describe the container.", _TEXTS),
    "working_dir": _variable("Working directory", "Where the flow begins.", {"type": "string"}),
    "api_url": _variable("Address of the API", "As containers reach it, if that differs.", {"type": "string"}),
    "timeout_seconds": _variable("Longest time", "How long an attempt may take, in seconds.", _POSITIVE),
    "start_timeout_seconds": _variable(
        "Start timeout", "How long pulling the image and starting may take, in seconds.", _POSITIVE, default=600
    ),
}

_DOCKER: dict[str, dict[str, Any]] = {
    **_SHARED,
    "image_pull_policy": _variable(
        "Pull policy", "When the image is pulled.", {"enum": ["IfNotPresent", "Always", "Never"]},
        default="IfNotPresent",
    ),
    "mem_limit": _variable(
        "Memory limit", "Such as 512m or 2g.", {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?[bkmgBKMG]?$"}
    ),
    "memswap_limit": _variable(
        "Memory and swap", "Such as 2g; -1 for no limit.",
        {"type": "string", "pattern": r"^(-1|[0-9]+(\.[0-9]+)?[bkmgBKMG]?)$"},
    ),
    "cpus": _variable("CPUs", "The most processor time, such as 0.5 or 2.", _POSITIVE),
    "pids_limit": _variable("Processes", "The most processes and threads.", {"type": "integer", "minimum": 1}),
    "networks": _variable("Networks", "Names of networks to join.", _OWN_NETWORKS),
    # On the machine's own network, a container would pass for the user with the same id at servers on the machine.
    "network_mode": _variable("Network mode", "bridge or none.", {"enum": ["bridge", "none"]}),
    "volumes": _variable("Volumes", "Named ones, as `name:/path` or `name:/path:ro`.", _NAMED_VOLUMES),
    "auto_remove": _variable(
        "Remove", "Whether the container is removed when its end is recorded.", {"type": "boolean"}, default=True
    ),
}  # fmt: skip

_KUBERNETES: dict[str, dict[str, Any]] = {
    **_SHARED,
    "namespace": _variable("Namespace", "The agent's own, if none is named.", {"type": "string"}),
    "image_pull_policy": _variable(
        "Pull policy", "When the image is pulled.", {"enum": ["IfNotPresent", "Always", "Never"]},
        default="IfNotPresent",
    ),
    "image_pull_secrets": _variable("Pull secrets", "Secrets of the namespace, as [{name: …}].", _OBJECTS),
    "service_account_name": _variable("Service account", "Whose rights the pod has.", {"type": "string"}),
    "cpu_request": _variable("CPU request", "Such as 500m or 2.", _QUANTITY, default="100m"),
    "cpu_limit": _variable("CPU limit", "Such as 500m or 2.", _QUANTITY),
    "memory_request": _variable("Memory request", "Such as 512Mi.", _QUANTITY, default="256Mi"),
    "memory_limit": _variable("Memory limit", "Such as 1Gi.", _QUANTITY),
    "node_selector": _variable("Node selector", "Labels that a node must have.", _TEXTS),
    "tolerations": _variable("Tolerations", "Taints that the pod tolerates.", _OBJECTS),
    "volumes": _variable(
        "Volumes", "As in a pod's manifest: emptyDir, persistentVolumeClaim, ephemeral or configMap.", _POD_VOLUMES
    ),
    "volume_mounts": _variable("Mounts", "As a container's manifest has them.", _OBJECTS),
    "finished_job_ttl": _variable(
        "Time to live", "How many seconds a finished Job stays, with its pod and secret.",
        {"type": "integer", "minimum": 0}, default=300,
    ),
}  # fmt: skip

_MANIFEST: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"labels": "{{ labels }}", "namespace": "{{ namespace }}"},
    "spec": {
        "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
        "template": {
            "metadata": {"labels": "{{ labels }}"},
            "spec": {
                "automountServiceAccountToken": False,
                "serviceAccountName": "{{ service_account_name }}",
                "imagePullSecrets": "{{ image_pull_secrets }}",
                "nodeSelector": "{{ node_selector }}",
                "tolerations": "{{ tolerations }}",
                "volumes": "{{ volumes }}",
                "containers": [
                    {
                        "name": "flow",
                        "image": "{{ image }}",
                        "imagePullPolicy": "{{ image_pull_policy }}",
                        "workingDir": "{{ working_dir }}",
                        "volumeMounts": "{{ volume_mounts }}",
                        "resources": {
                            "requests": {"cpu": "{{ cpu_request }}", "memory": "{{ memory_request }}"},
                            "limits": {"cpu": "{{ cpu_limit }}", "memory": "{{ memory_limit }}"},
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                    }
                ],
            },
        },
    },
}


def default_job_template(pool_type: str) -> dict[str, Any]:
    """Return the default template of a pool of this type; empty for a type whose runs are processes of agents."""
    match pool_type:
        case "docker":
            return _template({name: f"{{{{ {name} }}}}" for name in _DOCKER if name != "timeout_seconds"}, _DOCKER)
        case "kubernetes":
            apart = ("command", "env", "api_url", "start_timeout_seconds")
            configuration = {name: f"{{{{ {name} }}}}" for name in apart}
            return _template({**configuration, "job_manifest": _MANIFEST}, _KUBERNETES)
    return {}


def _template(configuration: dict[str, Any], variables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    # A misspelled name is refused; otherwise it would have no effect.
    schema = {"type": "object", "properties": variables, "required": ["image"], "additionalProperties": False}
    return {"job_configuration": configuration, "variables": schema}
