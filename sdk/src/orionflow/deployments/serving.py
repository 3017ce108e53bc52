"""Serving: an agent in this process that only executes runs of the deployments served here.

Each served deployment has its own work queue in a separate pool: agents that serve every queue of other pools must not
claim runs whose code is here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from orionflow.calls.deployments import pause_unless_served, read_deployments, resume_deployment
from orionflow.calls.flows import create_flow
from orionflow.calls.work import create_work_pool
from orionflow.client import OrionClient
from orionflow.deployments.definition import Deployment
from orionflow.engine.event_loops import running_loop
from orionflow.errors import ApiError, Conflict, UsageError
from orionflow.settings import current_settings

if TYPE_CHECKING:
    from orionflow.agent.agent_client import AgentOptions
    from orionflow.agent.naming import HeldName

SERVED_POOL = "served-flows"
_MOST_RUNS = 4
_LONGEST_NAME = 200


def serve(
    *deployments: Deployment, limit: int | None = None, pause_on_shutdown: bool = True, drain_timeout: float = 60.0
) -> None:
    """Deploy flows, and execute their runs in processes of this machine until Ctrl-C.

    ```text
    serve(etl.to_deployment("nightly", cron="0 2 * * *"), report.to_deployment("daily", interval=86400))
    ```

    - `deployments`: deployments from `flow.to_deployment`.
    - `limit`: how many runs may execute at the same time (default: 4).
    - `pause_on_shutdown`: whether deployments that no other program serves are paused at the end, and resumed when they
      are served again (default: `True`).
    - `drain_timeout`: how many seconds runs may continue after Ctrl-C (default: 60). Another Ctrl-C stops them at once.

    Raises `UsageError` if no server is set (`ORION_API_URL`), if nothing is served, if a deployment names a work queue
    or pool, and in coroutines, as it blocks.
    """
    _check(deployments)
    _make_pool()
    # Deployments that were paused at the end of earlier serving become active again.
    ids = [deploy_served(one) for one in deployments]
    active = [id for id, one in zip(ids, deployments, strict=True) if not one.paused]
    try:
        _run_agent(deployments, limit or _MOST_RUNS, drain_timeout, lambda: _resume(active))
    finally:
        if pause_on_shutdown:
            _pause(ids)


def _check(deployments: Sequence[Deployment]) -> None:
    if not deployments:
        raise UsageError("There is nothing to serve; say serve(etl.to_deployment('nightly')).")
    if running_loop() is not None:
        raise UsageError(
            "serve() blocks until Ctrl-C and cannot be called in a coroutine; call it from the main program."
        )
    if current_settings().api_url is None:
        raise UsageError(
            "Serving needs a server that plans runs: start one with `orion server start`, and set ORION_API_URL to its "
            "address."
        )
    for one in deployments:
        if one.work_queue_name or one.work_pool_name:
            raise UsageError(
                f"{one.full_name} is served here, by no work queue or pool; leave them out, or deploy it and start an "
                "agent for its queue."
            )


def _make_pool() -> None:
    with OrionClient() as client, suppress(Conflict):
        client.send(create_work_pool(SERVED_POOL, "process", description="Flows that programs serve themselves."))


def deploy_served(deployment: Deployment) -> UUID:
    """Deploy to a separate work queue in the pool of served deployments; return the id of the deployment."""
    deployment.work_pool_name = SERVED_POOL
    with OrionClient() as client:
        deployment.work_queue_name = _queue_of(deployment, client)
    id: UUID = deployment.apply()
    return id


def _queue_of(deployment: Deployment, client: OrionClient) -> str:
    """Return the queue that is named after a deployment; if another deployment has that queue, return a distinct one.

    The deployments a-b/c and a/b-c would get the same name, and their programs would claim each other's runs.
    """
    names = (deployment.flow_name, deployment.name)
    plain = re.sub(r"[^\w.-]+", "-", f"serve-{names[0]}-{names[1]}")[:_LONGEST_NAME]
    distinct = f"{plain}-{hashlib.sha256('/'.join(names).encode()).hexdigest()[:8]}"
    flow = client.send(create_flow(deployment.flow_name))
    found = read_deployments(
        deployments={"work_queue_name": {"any_": [plain, distinct]}}, work_pools={"name": {"any_": [SERVED_POOL]}}
    )
    # The oldest deployment keeps the queue.
    holders = sorted(client.send(found), key=lambda one: (str(one.created), str(one.id)))
    if any(one.work_queue_name == distinct for one in holders):
        return distinct
    return plain if not holders or (holders[0].flow_id, holders[0].name) == (flow.id, deployment.name) else distinct


def _run_agent(
    deployments: Sequence[Deployment], places: int, drain_seconds: float, on_registered: Callable[[], None]
) -> None:
    from orionflow.agent.agent_client import AgentOptions
    from orionflow.agent.naming import hold_name
    from orionflow.logging import agent_logger, set_up

    set_up()
    settings = current_settings()
    queues = tuple(str(one.work_queue_name) for one in deployments)
    for one in deployments:
        agent_logger.info("Serving %s. Have it run with: orion deployment run %r", one.full_name, one.full_name)
    held = hold_name(settings.home, None)
    options = AgentOptions(
        home=settings.home,
        pool=SERVED_POOL,
        queues=queues,
        concurrency=places,
        broker=settings.broker_url,
        drain_seconds=drain_seconds,
    )
    try:
        _supervise(options, held, on_registered)
    finally:
        held.release()


def _supervise(options: AgentOptions, held: HeldName, on_registered: Callable[[], None]) -> None:
    from orionflow.agent.supervisor import Supervisor

    if Supervisor(options, held, on_registered).run() != 0:
        raise UsageError("The agent that served here was stopped by the API; the last line of its log says why.")


def _resume(ids: Sequence[UUID]) -> None:
    """Resume again, now that the API knows the serving agent: a program that ended meanwhile may have paused them."""
    from orionflow.logging import agent_logger

    try:
        with OrionClient() as client:
            for id in ids:
                client.send(resume_deployment(id))
    except ApiError as error:
        agent_logger.warning("It is not sure that the schedules are active. %s", error)


def _pause(ids: Sequence[UUID]) -> None:
    from orionflow.logging import agent_logger

    try:
        # Briefly: a user waits for the end of the program, and the server may be gone.
        with OrionClient(retry_budget_seconds=5.0) as client:
            paused = [client.send(pause_unless_served(id)) for id in ids]
    except ApiError as error:
        agent_logger.warning("The deployments could not be paused, so runs are planned that no agent takes. %s", error)
        return
    if others := paused.count(False):
        agent_logger.info("%d of %d deployments stay active, as another program serves them.", others, len(ids))
    if any(paused):
        agent_logger.info("Nobody serves here any more, so the schedules are paused until the next time.")
