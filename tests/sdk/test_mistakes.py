"""The commonest mistakes are answered by what to do, and not by what the API said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orionflow import Secret, Variable, flow, resume_flow_run, run_deployment, send_input, suspend_flow_run
from orionflow.errors import NotFound, UsageError
from orionflow.testing import Isolated


@pytest.mark.parametrize(
    "call",
    [resume_flow_run, lambda run: suspend_flow_run(flow_run_id=run), lambda run: send_input("hello", run)],
)
def test_a_name_where_an_id_belongs(orion: Isolated, call: Callable[[str], Any]):
    with pytest.raises(UsageError, match="'brave-otter' is not the id of a flow run"):
        call("brave-otter")


@pytest.mark.parametrize("name", ["etl/prod", "0198f000-0000-7000-8000-000000000000"])
def test_a_deployment_that_is_not_there(orion: Isolated, name: str):
    with pytest.raises(NotFound, match=f"There is no deployment '{name}'; `orion deployment ls`"):
        run_deployment(name)


def test_a_deployment_that_is_not_there_asked_for_by_a_flow(orion: Isolated):
    @flow
    def parent() -> None:
        run_deployment("etl/prod")

    with pytest.raises(NotFound, match="There is no deployment 'etl/prod'"):
        parent()


def test_a_secret_that_is_not_there(orion: Isolated):
    with pytest.raises(NotFound, match="There is no secret 'github'; store one with `orion secret set github`"):
        Secret.load("github")


def test_a_variable_that_is_no_text(orion: Isolated):
    with pytest.raises(UsageError, match=r"'season' was given int; pass str\(value\)"):
        Variable.set("season", 5)  # type: ignore[arg-type]
