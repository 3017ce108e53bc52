"""Answers that are computed for many requests at once. A request that waits for one does not occupy a thread."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from django.http import StreamingHttpResponse

from orchestration.api.rendering import encoded

# Keys of a request's environment. WAITS: its server can wait for later answers. CAME_TO: the error of such an answer.
WAITS, CAME_TO = "orion.waits", "orion.came_to"


class LaterAnswer(StreamingHttpResponse):
    """An answer whose content exists when `content_to_come` is done.

    An error needs another status and other headers: if the content fails, the request is made again, with the error in
    its environment.
    """

    def __init__(self, content_to_come: Future[Any]) -> None:
        self.content_to_come = content_to_come
        super().__init__(_Content(content_to_come), content_type="application/json")


class _Content:
    """Iterates over content. Not a generator: closing the response releases its connection but must not end it."""

    def __init__(self, content: Future[Any]) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield encoded(self._content.result())
