"""A server of Orion for Prefect's client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site.running import RunningServer, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("home")) as running:
        yield running
