"""A `requests` adapter into the application of this process, so that raw requests work with and without a server."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from orionflow.client.ephemeral import in_process_server


class EphemeralAdapter(BaseAdapter):
    """Mounted for `http://ephemeral.orion/api`."""

    def send(self, request: PreparedRequest, *_args: Any, **_options: Any) -> Response:
        parts = urlsplit(request.url or "")
        headers = {name: str(value) for name, value in request.headers.items() if name.lower() != "content-length"}
        reply = in_process_server().request(
            request.method or "GET", parts.path, parts.query, headers, _body_of(request)
        )
        response = Response()
        response.request, response.url = request, request.url or ""
        response.status_code, response.reason = reply.status, reply.reason
        response.headers = CaseInsensitiveDict(reply.headers)
        response.raw = io.BytesIO(reply.content)
        return response

    def close(self) -> None:
        return None


def _body_of(request: PreparedRequest) -> bytes:
    body = request.body
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)
