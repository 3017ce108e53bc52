"""The shared part of both stand-ins: HTTP with faults that a test orders, and local processes as attempts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

Json = dict[str, Any]


@dataclass
class Fault:
    """Another answer for a number of requests that match."""

    method: str
    path: str
    status: int
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    # The request is carried out, but the answer reports a failure.
    answers_only: bool = False


class StandIn:
    """A server on a free port of the loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.generation = 0
        handler = type("Handler", (Handler,), {"stand_in": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.drop_streams()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method: str, path: str, status: int, message: str = "", **more: Any) -> None:
        with self.lock:
            self.faults.append(Fault(method, path, status, self.error(status, message), **more))

    def error(self, status: int, message: str) -> Json:
        return {"message": message}

    def drop_streams(self) -> None:
        """Cut every answer that is still being sent."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.asked.append(f"{method} {path}")
            for one in self.faults:
                if one.method == method and re.search(one.path, path):
                    one.times -= 1
                    if not one.times:
                        self.faults.remove(one)
                    return one
        return None

    def count(self, pattern: str) -> int:
        with self.lock:
            return sum(bool(re.search(pattern, one)) for one in self.asked)

    def answer(self, request: Handler, method: str, path: str, query: Mapping[str, str], body: Any) -> None:
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: ClassVar[Any]

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length)
        body = json.loads(text) if text else None
        fault = self.stand_in.fault_for(self.command, self.path)
        if fault is not None and not fault.answers_only:
            self.send(fault.status, fault.body, fault.headers)
            return
        if fault is not None:
            self.overridden = fault
        try:
            self.stand_in.answer(self, self.command, parts.path, dict(parse_qsl(parts.query)), body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    overridden: Fault | None = None
    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = _serve

    def send(self, status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        if self.overridden is not None:
            fault, self.overridden = self.overridden, None
            status, body, headers = fault.status, fault.body, fault.headers
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def stream(self, line: Any) -> None:
        sent = json.dumps(line).encode() + b"\n"
        self.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
        self.wfile.flush()

    def end_stream(self, *, cut: bool = False) -> None:
        if not cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *words: Any) -> None:
        pass


class LocalProcess:
    """An attempt, as a process of this machine with the environment of its container and nothing else."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], folder: Path, on_end: Callable[[int], None],
        working_dir: str | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        words = [sys.executable if word == "python" else word for word in command]
        own = {"PATH": os.environ["PATH"], "HOME": str(folder), "ORION_HOME": str(folder / "orion")}
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                words,
                env={**own, **environment},
                cwd=working_dir or folder,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._on_end = on_end
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        code = self.process.wait()
        self._on_end(code if code >= 0 else 128 - code)

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
