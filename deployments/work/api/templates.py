"""Parameters may hold templates; one that cannot be filled in is a bad request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.definitions.core.hydration import BadTemplate
from orchestration.api.errors import Refused


@contextmanager
def reporting_bad_templates() -> Iterator[None]:
    try:
        yield
    except BadTemplate as error:
        raise Refused(f"Error hydrating parameters: {error}", 400) from None
