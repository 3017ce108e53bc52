"""Requests that a machine makes up from the OpenAPI document: no answer is a 5xx, and each is one that it promises."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orion_site.openapi.document import operations
from orion_site.wsgi import application
from tests.factories import make_artifact, make_flow_run, make_limit, make_log, make_state, make_task_run
from tests.rounds import examples

OPERATIONS = [(operation.method, path) for path, operation in operations()]


def on_this_machine(environ, start_response):
    """Send each request from this machine: the client names no address, and counts as a stranger without one."""
    return application({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)


@cache
def schema() -> Any:
    """The document as Schemathesis reads it; each process of a round collects these tests, and one needs it."""
    import schemathesis

    return schemathesis.openapi.from_wsgi("/api/openapi.json", on_this_machine)


def checks() -> list[Any]:
    import schemathesis
    from schemathesis.specs.openapi import checks as promises

    return [
        schemathesis.checks.not_a_server_error,
        promises.status_code_conformance,
        promises.content_type_conformance,
        promises.response_schema_conformance,
    ]


@cache
def cases(method: str, path: str) -> st.SearchStrategy[Any]:
    """Requests that keep to the schema, and such that do not."""
    operation = schema()[path][method]
    modes = schema().config.generation_for(operation=operation, phase="fuzzing").modes
    return st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])


@pytest.fixture(autouse=True)
def one_connection():
    """As Django's test client does: a finished request must not close the connection that holds the test's rows."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Something of each kind, so that lists are not empty; each test has a transaction inside of this one."""
    with django_db_blocker.unblock(), transaction.atomic():
        run = make_flow_run(make_state("PAUSED", pause_key="1"), tags=["a"], retries=1)
        task_run = make_task_run("RUNNING", tags=["a"])
        make_limit("a", 1, taken_by=[task_run])
        make_log(flow_run=run)
        make_artifact("report", flow_run_id=run.id)
        yield
        transaction.set_rollback(True)


@pytest.mark.turns
@pytest.mark.slow
@pytest.mark.usefixtures("world", "db")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
# The examples of the document are golden exchanges, and tested as such.
@settings(examples(2, 60), phases=[Phase.generate])
@given(data=st.data())
def test_generated_requests_get_documented_answers(data: st.DataObject, method: str, path: str):
    data.draw(cases(method, path)).call_and_validate(checks=checks())
