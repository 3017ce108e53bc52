"""The page of a run names its trace."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from orion_site.env import traces_link
from tests.factories import make_flow_run
from tests.web.conftest import browser

__all__ = ["browser"]
pytestmark = pytest.mark.django_db
NAMED = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture(autouse=True)
def orion() -> None:
    """These tests are about pages; no program runs."""


def test_it_links_to_where_traces_are(browser: Client, settings):
    settings.ORION_TRACES_LINK = "https://traces.example/trace/{trace_id}"
    run = make_flow_run("COMPLETED")

    page = browser.get(f"/runs/{run.pk}").content.decode()

    assert f'href="https://traces.example/trace/{run.pk.hex}"' in page


def test_it_names_the_trace_of_its_caller(browser: Client):
    run = make_flow_run("COMPLETED", context={"traceparent": NAMED})

    assert "a" * 32 in browser.get(f"/runs/{run.pk}").content.decode()


@pytest.mark.parametrize("context", [{}, {"traceparent": "00-0-0-01"}, {"traceparent": 7}, {"traceparent": "x" * 99}])
def test_without_tracing_the_page_has_no_link_to_a_trace(browser: Client, context: dict[str, object]):
    run = make_flow_run("COMPLETED", context=context)

    assert "<dt>Trace</dt>" not in browser.get(f"/runs/{run.pk}").content.decode()


@pytest.mark.parametrize("link", ["javascript:alert(1)//{trace_id}", "https://traces.example/"])
def test_an_address_without_the_id_stops_the_start(monkeypatch: pytest.MonkeyPatch, link: str):
    monkeypatch.setenv("ORION_TRACES_LINK", link)

    with pytest.raises(ImproperlyConfigured, match="trace_id"):
        traces_link()
