"""The commonest mistakes are answered by what to do, and not by what the API said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from orionflow import Secret, Variable, flow, resume_flow_run, run_deployment, send_input, suspend_flow_run
from orionflow.errors import NotFound, UsageError
from orionflow.testing import Isolated, flow_runs, logs_of


@pytest.mark.parametrize(
    "call",
    [resume_flow_run, lambda run: suspend_flow_run(flow_run_id=run), lambda run: send_input("hello", run)],
)
def test_a_name_where_an_id_belongs(orion: Isolated, call: Callable[[str], Any]):
    with pytest.raises(UsageError, match="'brave-otter' is not the id of a flow run"):
        call("brave-otter")


@pytest.mark.parametrize("name", ["etl/prod", "0198f000-0000-7000-8000-000000000000"])
def test_a_deployment_that_does_not_exist(orion: Isolated, name: str):
    with pytest.raises(NotFound, match=f"There is no deployment '{name}'; `orion deployment ls`"):
        run_deployment(name)


def test_a_deployment_that_does_not_exist_asked_for_by_a_flow(orion: Isolated):
    @flow
    def parent() -> None:
        run_deployment("etl/prod")

    with pytest.raises(NotFound, match="There is no deployment 'etl/prod'"):
        parent()


def test_a_secret_that_does_not_exist(orion: Isolated):
    with pytest.raises(NotFound, match="There is no secret 'github'; store one with `orion secret set github`"):
        Secret.load("github")


def test_a_variable_that_is_not_text(orion: Isolated):
    with pytest.raises(UsageError, match=r"'season' was given int; pass str\(value\)"):
        Variable.set("season", 5)  # type: ignore[arg-type]


def test_errors_of_the_api_in_this_process_name_no_address(orion: Isolated):
    from orionflow.calls.deployments import read_deployment

    with pytest.raises(NotFound) as caught:
        orion.client.send(read_deployment(UUID(int=7)))

    assert "of the API in this process was answered with 404" in str(caught.value)
    assert "://" not in str(caught.value)


def test_a_parameter_that_contains_itself_is_described_as_such(orion: Isolated):
    @flow(validate_parameters=False)
    def takes(parts: list[Any]) -> int:
        return len(parts)

    circle: list[Any] = []
    circle.append(circle)

    assert takes(circle) == 1
    (line,) = [line.message for line in logs_of(flow_runs("takes")[0]) if "recorded" in line.message]
    assert "it contains itself" in line
