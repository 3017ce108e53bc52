"""Ask one of two servers that get the same requests, and reduce its answers to what can be compared."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from tests.compat.asked import Asked

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")
# Values that are random, measured, or in the words of each server.
PASSED_OVER = frozenset(
    {"reason", "message", "delay_seconds", "estimated_run_time", "estimated_start_time_delta", "total_run_time"}
    | {"checksum", "priority", "pause_key", "pause_keys", "resuming"}
)


class Server:
    """A client of one server, which remembers ids that the server gave under the names chosen by the requests."""

    def __init__(self, api: str, run: str) -> None:
        address = urlsplit(api)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=60)
        self._base, self._run, self._numbers = address.path.rstrip("/"), run, count(1)
        self._ids: dict[str, str] = {}

    def ask(self, asked: Asked) -> tuple[int, Any]:
        new = f"{self._run}x{next(self._numbers)}"
        path, body = self._filled(asked.path, new), self._filled(asked.body, new)
        status, answer = self._answer(asked.method, path, body)
        if asked.keep and isinstance(answer, dict) and "id" in answer:
            self._ids[asked.keep] = answer["id"]
        return status, answer

    def plain(self, answer: Any, key: str = "") -> Any:
        """The answer without ids, moments and other values that differ from server to server."""
        match answer:
            case _ if key in PASSED_OVER:
                return None
            case dict():
                return {name: self.plain(value, name) for name, value in answer.items()}
            case list():
                return [self.plain(value, key) for value in answer]
            case str():
                named = {id: f"${name}" for name, id in self._ids.items()}
                text = UUID.sub(lambda found: named.get(found.group(), "(id)"), answer)
                return MOMENT.sub("(moment)", text).replace(self._run, "$run")
        return answer

    def _filled(self, value: Any, new: str) -> Any:
        match value:
            case dict():
                return {name: self._filled(inner, new) for name, inner in value.items()}
            case list():
                return [self._filled(inner, new) for inner in value]
            case str() if "$" in value:
                known = {**self._ids, "run": self._run, "new": new}
                # The longest first: $flow is also the beginning of $flow_run.
                for name in sorted(known, key=len, reverse=True):
                    value = value.replace(f"${name}", known[name])
        return value

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json", "X-PREFECT-API-VERSION": "0.8.4"}
        try:
            self._connection.request(method, self._base + path, content, headers)
            response = self._connection.getresponse()
            raw = response.read()
        except OSError:
            # A server that closed a quiet connection is asked again on the next one.
            self._connection.close()
            return self._answer(method, path, body)
        try:
            return response.status, json.loads(raw or b"null")
        except ValueError:
            return response.status, raw.decode("utf-8", "replace")


def differences(theirs: Any, ours: Any, place: str = "") -> list[str]:
    """List what our answer lacks or has otherwise than theirs; additional fields are no difference."""
    match theirs, ours:
        case dict(), dict():
            missing = [f"{place}.{name}: not told" for name in theirs if name not in ours]
            both = [name for name in theirs if name in ours]
            return missing + [one for name in both for one in differences(theirs[name], ours[name], f"{place}.{name}")]
        case list(), list() if len(theirs) == len(ours):
            pairs = enumerate(zip(theirs, ours, strict=True))
            return [one for n, (a, b) in pairs for one in differences(a, b, f"{place}[{n}]")]
    return [] if theirs == ours else [f"{place}: {json.dumps(theirs)[:200]}, ours {json.dumps(ours)[:200]}"]
