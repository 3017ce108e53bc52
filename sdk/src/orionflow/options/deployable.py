"""The methods of a flow that decide where it runs: deployed, served, or fetched from a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Unpack

    from orionflow.deployments.definition import Deployment, DeploymentOptions
    from orionflow.flows import Flow
    from orionflow.storage import Storage


@dataclass(frozen=True, slots=True)
class FetchedFrom:
    """The source from which a flow's code was fetched; deployments of the flow fetch it from there again."""

    storage: Storage
    entrypoint: str


class Deployable:
    """The methods of a flow that deploy it."""

    fetched_from: FetchedFrom | None = None

    @property
    def parameter_schema(self: Any) -> dict[str, Any]:
        """The flow's parameters as a JSON schema."""
        from orionflow.deployments.schema import parameter_schema

        return parameter_schema(self.fn, self.signature.inspected)

    def to_deployment(self: Any, name: str, **options: Unpack[DeploymentOptions]) -> Deployment:
        """Return a deployment of this flow that is not deployed yet, for `serve` or for `apply()`.

        - `name`: the name of the deployment.
        - `options`: options of `deploy`.

        Raises `UsageError` for an option that is unknown or does not fit.
        """
        from orionflow.deployments import Deployment

        return Deployment.build_from_flow(self, name, **options)

    def deploy(self, name: str, **options: Unpack[DeploymentOptions]) -> Any:
        """Deploy this flow under a name: agents run it on schedule and on request. Returns the id of the deployment.

        ```python
        from datetime import timedelta

        from orionflow import flow

        @flow
        def etl(table: str = "users") -> None: ...

        etl.deploy("nightly", cron="0 2 * * *", timezone="Europe/Berlin", parameters={"table": "orders"})
        etl.deploy("often", interval=timedelta(minutes=15), work_queue_name="fast", tags=["team:data"])
        ```

        - `name`: the name of the deployment. Deploying the flow again under this name replaces the earlier definition.
        - `cron`, `interval`, `rrule`, `ics`, with `timezone` and `anchor_date`: when it runs; or `schedule` and
          `schedules`, such as `Cron("0 2 * * *", spread=600)`. Without any of them it runs on request only.
        - `work_queue_name` (default: `"default"`), `work_pool_name`: whose agents run it. `job_variables`: settings for
          these, such as `{"env": {"REGION": "eu"}}`.
        - `parameters`: defaults of its runs. `enforce_parameter_schema`: whether the server refuses runs whose
          parameters do not fit the annotations (default: `True`).
        - `storage`: where the code is: a folder, an address of a git repository, or one of `orionflow.storage`.
          `entrypoint`: the function there, as `"etl.py:etl"`. By default this file, at the same path on every machine
          with an agent.
        - `overlap`: as for `@flow`. `concurrency_limit`: how many of its runs may execute at the same time (default: no
          limit).
        - `crash_retries`: how often a run is tried again after its process died; by default as the flow says.
        - `must_start_within`, `must_finish_within`: seconds, or a `timedelta`, after which a run has missed its
          deadline.
        - `secrets`: blocks whose secrets its runs read, as `["secret/db-password"]`.
        - `result_storage`: the location of results for which flow and tasks name none.
        - `tags`, `description`, `version`: by default those of the flow.
        - `paused`: with `True`, its schedules plan nothing until it is resumed.

        In coroutines: `await flow.deploy(…)`.

        Raises `UsageError` for an option that is unknown or does not fit, `ParameterError` for parameters that the flow
        does not take, and an `ApiError` if the server refuses it.
        """
        return self.to_deployment(name, **options).apply()

    def serve(
        self,
        name: str | None = None,
        *,
        limit: int | None = None,
        pause_on_shutdown: bool = True,
        drain_timeout: float = 60.0,
        **options: Unpack[DeploymentOptions],
    ) -> None:
        """Deploy this flow, and execute its runs on this machine until Ctrl-C. `orionflow.serve` does so for several.

        - `name`: the name of the deployment (default: that of the flow).
        - `limit`: how many runs may execute at the same time (default: 4).
        - `pause_on_shutdown`: whether the deployment is paused at the end, if no other program serves it, and resumed
          when it is served again (default: `True`).
        - `drain_timeout`: how many seconds runs may continue after Ctrl-C (default: 60). A second Ctrl-C stops them at
          once.
        - `options`: options of `deploy`, except queue and pool.

        Raises `UsageError` if no server is set (`ORION_API_URL`), and in coroutines, as it blocks.
        """
        from orionflow.deployments.serving import serve

        deployment = self.to_deployment(name or self._own_name(), **options)
        serve(deployment, limit=limit, pause_on_shutdown=pause_on_shutdown, drain_timeout=drain_timeout)

    def _own_name(self: Any) -> str:
        name: str = self.name
        return name

    @classmethod
    def from_source(cls, source: str | Path | Storage, entrypoint: str) -> Flow[..., Any]:
        """Fetch a flow from a folder, a repository or a remote storage. Its deployments fetch it from there again.

        `flow.from_source("https://github.com/us/flows.git", "etl.py:etl").deploy("prod", work_queue_name="big")`

        - `source`: a folder, an address, or one of `orionflow.storage`, such as `GitRepository(url, branch="main")`.
        - `entrypoint`: the function there, as `"etl.py:etl"`.

        Raises `CodeUnavailable` if it cannot be fetched or loaded.
        """
        from orionflow.deployments.fetching import fetched_flow

        return fetched_flow(source, entrypoint)
