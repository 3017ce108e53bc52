"""Attempts in containers, run by a Docker engine or as Jobs of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from orionflow.agent.agent_client import AgentClient
from orionflow.agent.containers.orders import Origin
from orionflow.agent.containers.remote import OnEnded, OnReport, OnStarted
from orionflow.agent.containers.templates import JobTemplate
from orionflow.agent.infrastructure import Infrastructure
from orionflow.contract.work import WorkPool
from orionflow.errors import UsageError
from orionflow.extras import install_command


def infrastructure_of(
    pool: WorkPool, api: AgentClient, on_started: OnStarted, on_report: OnReport, on_ended: OnEnded
) -> Infrastructure:
    """Return the infrastructure for the attempts of this pool. Raise UsageError if its client is not installed."""
    if find_spec(pool.type) is None:
        raise UsageError(
            f"The runs of work pool {pool.name!r} go to containers of the type {pool.type}; install its client: "
            f"{install_command(pool.type)}"
        )
    job_of: Callable[..., dict[str, object]] = JobTemplate(pool, api).job_of
    origin = Origin.of(api.name, pool.name, api.client.api_url)
    if pool.type == "docker":
        from orionflow.agent.containers.docker_engine import DockerContainers

        return DockerContainers(job_of, origin, api.options, on_started, on_report, on_ended)
    from orionflow.agent.containers.kubernetes_jobs import KubernetesJobs

    return KubernetesJobs(job_of, origin, api.options, on_started, on_report, on_ended)
