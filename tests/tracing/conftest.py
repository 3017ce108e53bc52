from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orionflow import tracing
from orionflow.tracing.spans import Tracing
from tests.sdk.conftest import orion, server_here

__all__ = ["orion", "server_here"]


@pytest.fixture
def spans(orion: object, monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that runs of this process leave."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(tracing, "current", Tracing(SimpleSpanProcessor(exporter)))
    return exporter
