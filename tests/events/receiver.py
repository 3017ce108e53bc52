"""A receiver of webhooks on this machine, which keeps the requests that it gets and answers as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    url: str = ""
    status: int = 200
    # Other answers, by the path of the request.
    statuses: dict[str, int] = field(default_factory=dict)
    # What is in the content of requests that are refused, and with which status.
    refuse: str | None = None
    refusal: int = 500
    got: list[dict[str, Any]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        return [json.dumps(one["content"]) for one in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = json.loads(body) if body else None
            receiver.got.append({"path": self.path, "headers": dict(self.headers), "content": content})
            refused = receiver.refuse is not None and receiver.refuse in body.decode()
            answer = receiver.refusal if refused else receiver.statuses.get(self.path, receiver.status)
            self.send_response(answer)
            if receiver.status in {301, 302, 307}:
                self.send_header("Location", receiver.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
