"""The conversation that the golden files record: one request and its answer for each operation, with numbered ids.

`python -m pytest tests/contract` compares the API with the files; UPDATE_CONTRACT=1 writes them again. The SDK's tests
read the same files, so that neither side can change the wire alone.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).with_name("golden")
# The same exchanges as the OpenAPI document shows; it is built on servers without the tests.
EXAMPLES = Path(__file__).parents[2] / "orion_site" / "openapi/examples.json"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(Z|\+00:00)")
MOMENT_IN_TEXT = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC")
MEASURED = frozenset(
    {
        "total_run_time",
        "estimated_run_time",
        "estimated_start_time_delta",
        "duration",
        "lateness",
        "run_time",
        "seconds",
    }
)
MEASURED_SUMS = frozenset({"sum_estimated_run_time", "sum_estimated_lateness"})


class Exchanges:
    """The exchanges so far, with everything that differs from run to run made equal."""

    def __init__(self) -> None:
        self.recorded: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}

    def record(self, name: str, method: str, path: str, body: Any, status: int, answer: Any) -> None:
        exchange = {"method": method, "path": path, "request": body, "status": status, "response": answer}
        self.recorded[name] = self._made_equal(exchange)

    def _made_equal(self, value: Any, key: str = "") -> Any:
        match value:
            case dict():
                return {self._text(name): self._made_equal(inner, name) for name, inner in value.items()}
            case list():
                return [self._made_equal(inner) for inner in value]
            case str():
                # The name that the server invents is two words by chance.
                return "calm-otter" if key == "name" and re.fullmatch(r"[a-z]+-[a-z]+", value) else self._text(value)
            case float() if key in MEASURED | MEASURED_SUMS:
                return 1.5
        return value

    def _text(self, text: str) -> str:
        numbered = UUID.sub(lambda found: self._numbered(found.group()), text)
        return MOMENT_IN_TEXT.sub("2026-01-05 12:00:00 UTC", MOMENT.sub(r"2026-01-05T12:00:00.123456\1", numbered))

    def _numbered(self, uuid: str) -> str:
        return self._ids.setdefault(uuid, f"00000000-0000-7000-8000-{len(self._ids) + 1:012d}")


def golden() -> dict[str, dict[str, Any]]:
    """The recorded exchanges by name."""
    return {file.stem: json.loads(file.read_text()) for file in sorted(GOLDEN.glob("*.json"))}


def write_golden(calls: dict[str, dict[str, Any]]) -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name, exchange in calls.items():
        text = json.dumps(exchange, indent=1, ensure_ascii=False)
        (GOLDEN / f"{name}.json").write_text(text + "\n")
    for stale in GOLDEN.glob("*.json"):
        if stale.stem not in calls:
            stale.unlink()
    EXAMPLES.write_text(json.dumps(examples(calls), ensure_ascii=False, separators=(",", ":")) + "\n")


def examples(calls: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each exchange, what it shows: its request, and its answer under its status."""
    return {
        name: {"request": one["request"], "status": one["status"], "response": one["response"]}
        for name, one in sorted(calls.items())
    }
