"""A small HTTP server on loopback that answers as the API does and fails as it is told to.

It keeps what it was sent, once per id, so that a test can compare it with what was reported.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """A fault of one request: instead of, before or after its work."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    delay: float = 0.0
    drop: bool = False


def answer(status: int, body: Any = None, **headers: str) -> Fault:
    return Fault(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def drop_after_commit() -> Fault:
    """Do what the request asks for, but close the connection without an answer."""
    return Fault(drop=True)


def slow(seconds: float) -> Fault:
    return Fault(delay=seconds)


@dataclass
class Seen:
    """One request as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    at: float


class ScriptedServer:
    """`faults` happen to the next requests, one each; `fault_of` may decide by the request instead."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Seen] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.logs: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.fault_of: Callable[[Seen], Fault | None] = lambda seen: None
        self.result_of: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: {"status": "ACCEPT"}
        self.orders: dict[str, str] = {}
        self.lock = threading.Lock()
        self._start(port)

    def _start(self, port: int) -> None:
        handler = type("Handler", (_Handler,), {"book": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def restart(self) -> None:
        self._start(self.port)

    def next_fault(self, seen: Seen) -> Fault:
        with self.lock:
            self.requests.append(seen)
            if self.faults:
                return self.faults.pop(0)
        return self.fault_of(seen) or Fault()

    def work(self, seen: Seen) -> tuple[int, Any]:
        with self.lock:
            if seen.path.endswith("/task_runs/transitions"):
                return 200, {"results": self._store(seen.body["items"]), "orders": self.orders}
            if seen.path.endswith("/logs/"):
                self.logs += seen.body
                return 201, None
            return 200, {"echo": seen.body}

    def _store(self, items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for item in items:
            state_id = item["state"]["id"]
            if state_id not in self.states:
                self.states[state_id] = item
                self.order.append(state_id)
            results.append(self.result_of(item))
        return results

    def batches(self) -> list[Seen]:
        return [seen for seen in self.requests if seen.path.endswith("/task_runs/transitions")]


class _Handler(BaseHTTPRequestHandler):
    book: ScriptedServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def do_POST(self) -> None:
        seen = self._read()
        fault = self.book.next_fault(seen)
        if fault.delay:
            time.sleep(fault.delay)
        if fault.status:
            return self._answer(fault.status, fault.body, fault.headers)
        status, body = self.book.work(seen)
        if fault.drop:
            self.close_connection = True
            return None
        return self._answer(status, body, {})

    do_GET = do_PATCH = do_PUT = do_DELETE = do_POST

    def _read(self) -> Seen:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Seen(self.command, self.path, headers, json.loads(raw) if raw else None, time.monotonic())

    def _answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: Any) -> None:
        return None
