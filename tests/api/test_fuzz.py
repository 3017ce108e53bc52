"""Requests that a machine makes up from the OpenAPI document: no answer is a 5xx, and each is one that it promises."""

from __future__ import annotations

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orion_site.wsgi import application
from tests.factories import make_artifact, make_flow_run, make_limit, make_log, make_state, make_task_run
from tests.rounds import examples


def on_this_machine(environ, start_response):
    """The client that asks names no address, and whoever names none is a stranger."""
    return application({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)


schema = schemathesis.openapi.from_wsgi("/api/openapi.json", on_this_machine)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(autouse=True)
def one_connection():
    """As Django's test client does: a finished request must not close the connection that holds the test's rows."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def world(db):
    """Something of each kind, so that lists are not empty."""
    run = make_flow_run(make_state("PAUSED", pause_key="1"), tags=["a"], retries=1)
    task_run = make_task_run("RUNNING", tags=["a"])
    make_limit("a", 1, taken_by=[task_run])
    make_log(flow_run=run)
    make_artifact("report", flow_run_id=run.id)


@pytest.mark.slow
@pytest.mark.usefixtures("world")
@schema.parametrize()
# The examples of the document are golden exchanges, and tested as such.
@settings(examples(2, 60), phases=[Phase.generate])
def test_made_up_requests_get_promised_answers(case):
    case.call_and_validate(checks=CHECKS)
