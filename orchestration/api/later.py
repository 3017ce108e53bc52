"""Answers that somebody else works out, for many requests at once: whoever serves them waits, and keeps no thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from django.http import StreamingHttpResponse

from orchestration.api.rendering import encoded

# Keys of a request's environment: its server waits for answers that come later; the error that such an answer came to.
WAITS, CAME_TO = "orion.waits", "orion.came_to"


class LaterAnswer(StreamingHttpResponse):
    """An answer whose content is there when `content_to_come` is done.

    An error has another head: where it comes to one, the request is made once more, with the error in its environment.
    """

    def __init__(self, content_to_come: Future[Any]) -> None:
        self.content_to_come = content_to_come
        super().__init__(_Content(content_to_come), content_type="application/json")


class _Content:
    """No generator: closing the response, which gives the connection of its thread back, must not end it."""

    def __init__(self, content: Future[Any]) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield encoded(self._content.result())
