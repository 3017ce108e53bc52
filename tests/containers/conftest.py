"""One server for a module; each test has a pool, an engine or a cluster, and a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.conftest import api as api
from tests.agents.running import Agent, Api, running_agent
from tests.containers.engine import Engine

HERE = Path(__file__).parent
StartAgent = Callable[..., Agent]


class Pool:
    """A pool of containers, and runs in it."""

    def __init__(self, api: Api, kind: str, **variables: Any) -> None:
        self.api, self.name = api, f"p-{uuid4().hex[:10]}"
        self.variables = variables
        api.post("/work_pools/", {"name": self.name, "type": kind})

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
