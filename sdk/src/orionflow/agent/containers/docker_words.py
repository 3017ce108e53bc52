"""Messages of a Docker engine about a container, turned into a cause that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orionflow.agent.child import REPORT_MARK
from orionflow.agent.containers.reports import last_lines, read_report, shown

# Errors that repeating a request does not change; any other may come from a busy registry.
FOR_GOOD = re.compile(
    "not found|no such image|manifest unknown|denied|unauthorized|authentication required|forbidden|invalid reference|"
    "does not exist|no matching manifest|invalid repository|no basic auth",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended, and the report that its run left in its log."""

    status: int
    cause: str | None
    report: dict[str, Any] | None


def ended(container: Mapping[str, Any], log: str) -> Ended | None:
    """Return how a container ended, from the output of `inspect`; None if it is still running."""
    state = container.get("State") or {}
    if state.get("Running") or state.get("Paused") or state.get("Restarting"):
        return None
    status, (report, tail) = int(state.get("ExitCode") or 0), split_log(log)
    if state.get("OOMKilled"):
        limit = (container.get("HostConfig") or {}).get("Memory")
        bound = f"its limit of {size(limit)}" if limit else "what the machine had left"
        cause = f"The container ran out of memory: it needed more than {bound}. Raise mem_limit in its job variables."
        return Ended(status, cause, None if report and "type" in report else report)
    if error := state.get("Error"):
        return Ended(status, f"The container could not run: {error}", report)
    if report or status == 0:
        return Ended(status, None, report)
    if status == 137:
        cause = "The container was killed by SIGKILL from outside; a machine without memory does that, too."
    else:
        cause = f"The container exited with code {status}, and its run did not say why."
    return Ended(status, f"{cause}{shown(tail)}", None)


def split_log(log: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the last report in a log, and the last of the other lines."""
    report: dict[str, Any] = {}
    others = []
    for line in log.splitlines():
        if line.startswith(REPORT_MARK):
            report |= read_report(line.removeprefix(REPORT_MARK)) or {}
        else:
            others.append(line)
    return report or None, last_lines("\n".join(others))


def size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor:
            return f"{count / factor:.4g} {unit}"
    return f"{count} bytes"


def seconds_since(moment: str | None, now: datetime) -> float:
    """Return the seconds since a time of the engine, or 0 if the engine does not know the time."""
    if not moment or moment.startswith("0001"):
        return 0.0
    # Python does not parse nanoseconds.
    short = re.sub(r"(\.\d{6})\d+", r"\1", moment)
    try:
        return max(0.0, (now - datetime.fromisoformat(short)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
