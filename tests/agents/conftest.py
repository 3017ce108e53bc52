"""One server for the tests of a module, on the database of this test session; each test has a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.agents.running import QUICK, Agent, Api, running_agent
from tests.conftest import DATABASE
from tests.site.running import orion, running_server

StartAgent = Callable[..., Agent]


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("server")
    settings = dict(QUICK)
    if DATABASE == "postgresql":
        settings["ORION_DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        assert orion(home, "database", "upgrade", **settings).returncode == 0
    with running_server(home, **settings) as server:
        yield Api(server)


@pytest.fixture
def queue() -> str:
    return f"q-{uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def served(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A queue that one agent serves, for tests that ask nothing of the agent itself."""
    queue = f"q-{uuid4().hex[:10]}"
    with running_agent(tmp_path_factory.mktemp("agent"), api, queue):
        yield queue


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    return folder


@pytest.fixture
def start_agent(home: Path, api: Api, queue: str) -> Iterator[StartAgent]:
    """Starts agents that serve the test's queue."""
    with ExitStack() as agents:
        yield lambda *options, **more: agents.enter_context(running_agent(home, api, queue, *options, **more))
