"""The methods of a flow about where it runs: deployed, served, or fetched from a source."""

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
    """Where a flow's code was fetched from; deployments of the flow fetch it from there again."""

    storage: Storage
    entrypoint: str


class Deployable:
    """The methods of a flow that hand it over."""

    fetched_from: FetchedFrom | None = None

    @property
    def parameter_schema(self: Any) -> dict[str, Any]:
        """Return the flow's parameters as a JSON schema."""
        from orionflow.deployments.schema import parameter_schema

        return parameter_schema(self.fn, self.signature.inspected)

    def to_deployment(self: Any, name: str, **options: Unpack[DeploymentOptions]) -> Deployment:
        """A deployment of this flow that was not handed over yet; see `deploy`."""
        from orionflow.deployments import Deployment

        return Deployment.build_from_flow(self, name, **options)

    def deploy(self, name: str, **options: Unpack[DeploymentOptions]) -> Any:
        """Hand this flow to Orion under a name: an agent runs it on schedule and on demand. Returns its id.

        - `cron`, `interval` or another of `ScheduleOptions`, with `timezone`; or `schedule`, `schedules`: when.
        - `work_queue_name`, `work_pool_name`: whose agents run it; `job_variables`: what they should know.
        - `secrets`: the blocks whose secrets its runs read, as "secret/db-password".
        - `parameters`: defaults of its runs; `enforce_parameter_schema=False` takes whatever a request says.
        - `storage`, `entrypoint`: where the code is; unless said, in this file, on every machine with an agent.
        - `overlap`, `concurrency_limit`: what happens to a run while another one runs, and how many may.
        - `crash_retries`: how often a run is tried again after a crash; otherwise as the flow says.
        - `must_start_within`, `must_finish_within`: seconds after which a run counts as having missed its time.
        - `result_storage`: the location of results that neither its flow nor its tasks place.
        - `tags`, `description`, `version`, `paused`.

        In coroutines: `await flow.deploy(…)`.
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
        """Deploy this flow and run what is asked of it in processes of this machine, until Ctrl-C.

        Runs may then go on for `drain_timeout` seconds. Unless another program serves it as well, its schedules are
        paused, as nobody would run what they plan; serving it again resumes them.
        """
        from orionflow.deployments.serving import serve

        deployment = self.to_deployment(name or self._own_name(), **options)
        serve(deployment, limit=limit, pause_on_shutdown=pause_on_shutdown, drain_timeout=drain_timeout)

    def _own_name(self: Any) -> str:
        name: str = self.name
        return name

    @classmethod
    def from_source(cls, source: str | Path | Storage, entrypoint: str) -> Flow[..., Any]:
        """The flow at an entry point in a folder, a repository or a remote storage; its deployments fetch it there.

        `flow.from_source("https://github.com/us/flows.git", "etl.py:etl").deploy("prod", work_queue_name="big")`
        """
        from orionflow.deployments.fetching import fetched_flow

        return fetched_flow(source, entrypoint)
