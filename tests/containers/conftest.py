"""One server for a module; each test has a pool, an engine or a cluster, and a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from orionflow.contract.job_templates import default_job_template
from tests.agents.running import QUICK, Agent, Api, running_agent
from tests.conftest import DATABASE
from tests.containers.cluster import Cluster
from tests.containers.engine import Engine
from tests.site.running import orion, running_server

HERE = Path(__file__).parent
StartAgent = Callable[..., Agent]


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose leases last while an agent starts again, however busy the machine is."""
    home = tmp_path_factory.mktemp("server")
    settings = {**QUICK, "ORION_LEASE_SECONDS": "60"}
    if DATABASE == "postgresql":
        settings["ORION_DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        assert orion(home, "database", "upgrade", **settings).returncode == 0
    with running_server(home, **settings) as server:
        yield Api(server)


class Pool:
    """A pool of containers, and runs in it."""

    def __init__(self, api: Api, kind: str, **variables: Any) -> None:
        self.api, self.name = api, f"p-{uuid4().hex[:10]}"
        template = default_job_template(kind)
        if "network_mode" in variables:
            template["job_configuration"]["network_mode"] = variables.pop("network_mode")
        self.variables = variables
        api.post("/work_pools/", {"name": self.name, "type": kind, "base_job_template": template})

    def deploy(self, flow: str, *, fields: dict[str, Any] | None = None, **variables: Any) -> str:
        own = {**self.variables, **variables}
        return self.api.deploy(
            f"flows.py:{flow}", None, path=str(HERE), work_pool_name=self.name, job_variables=own, **(fields or {})
        )

    def run(self, flow: str, *, variables: dict[str, Any] | None = None, **parameters: Any) -> str:
        return self.api.run(self.deploy(flow, **(variables or {})), **parameters)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    stand_in = Engine(tmp_path / "engine")
    try:
        yield stand_in
    finally:
        stand_in.close()


@pytest.fixture
def docker_pool(api: Api) -> Pool:
    # The stand-in's containers share the loopback of the machine, as those of this mode do.
    return Pool(api, "docker", image="flows:1", network_mode="host")


@pytest.fixture
def start_docker_agent(tmp_path: Path, api: Api, docker_pool: Pool, engine: Engine) -> Iterator[StartAgent]:
    home = tmp_path / "agent"
    home.mkdir()
    with ExitStack() as agents:
        yield lambda *options, **more: agents.enter_context(
            running_agent(home, api, None, "--pool", docker_pool.name, *options, **{"DOCKER_HOST": engine.url, **more})
        )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    stand_in = Cluster(tmp_path / "cluster")
    try:
        yield stand_in
    finally:
        stand_in.close()


@pytest.fixture
def kubernetes_pool(api: Api) -> Pool:
    # Pods of the stand-in share the loopback of the machine.
    return Pool(api, "kubernetes", image="flows:1", api_url=api.url)


@pytest.fixture
def start_kubernetes_agent(
    tmp_path: Path, api: Api, kubernetes_pool: Pool, cluster: Cluster
) -> Iterator[StartAgent]:  # fmt: skip
    home = tmp_path / "agent"
    home.mkdir()
    own = {"KUBECONFIG": str(cluster.kubeconfig())}
    with ExitStack() as agents:
        yield lambda *options, **more: agents.enter_context(
            running_agent(home, api, None, "--pool", kubernetes_pool.name, *options, **{**own, **more})
        )
