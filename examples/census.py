"""A census of the Python distributions installed on this machine: discover them, examine each, sum up in a nested flow.

    python examples/census.py

Shows retries (an index that is busy at first), caching (a second run examines only what changed), a failing input that
is handled (one distribution is broken on purpose), logs, an artifact, and a report of what was recorded.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

from orionflow import allow_failure, flow, get_run_logger, task, unmapped
from orionflow.artifacts import create_table_artifact

BROKEN = "no-such-distribution"


@dataclass(frozen=True)
class Finding:
    """Facts of the census about one distribution."""

    name: str
    version: str
    licence: str
    files: int
    kilobytes: int


attempts = 0


@task(retries=2, retry_delay_seconds=0.2)
def discover() -> list[str]:
    """Return the names of all installed distributions. The first attempt fails, as if an index was busy."""
    global attempts
    attempts += 1
    if attempts == 1:
        raise ConnectionError("the index of distributions is busy")
    return sorted({d.metadata["Name"] for d in metadata.distributions() if d.metadata["Name"]}, key=str.lower)


def name_and_version(context: Any, arguments: dict[str, Any]) -> str:
    """Key a finding by name and version: a version of a distribution always has the same files."""
    try:
        version = metadata.version(arguments["name"])
    except metadata.PackageNotFoundError:
        version = "missing"
    return f"census/{arguments['name']}/{version}/{arguments['count_files']}"


@task(
    task_run_name="examine-{name}",
    cache_key_fn=name_and_version,
    cache_expiration=timedelta(days=1),
    persist_result=True,
)
def examine(name: str, count_files: bool = True) -> Finding:
    """Count a distribution's files and bytes. Fails for a distribution that is not installed."""
    distribution = metadata.distribution(name)
    files = [path for path in (distribution.files or []) if count_files and Path(str(path.locate())).is_file()]
    size = sum(Path(str(path.locate())).stat().st_size for path in files)
    return Finding(name, distribution.version, licence_of(distribution.metadata), len(files), size // 1024)


def licence_of(fields: Any) -> str:
    words = fields.get("License-Expression") or fields.get("License") or ""
    return words.splitlines()[0][:20] if words.strip() else "not said"


@task
def rank(findings: list[Any], top: int = 10) -> list[Finding]:
    """Return the largest distributions. A failed `examine` arrives as its error, and is left out."""
    logger = get_run_logger()
    found = [finding for finding in findings if isinstance(finding, Finding)]
    for failure in findings:
        if not isinstance(failure, Finding):
            logger.warning("left out: %s", failure)
    return sorted(found, key=lambda finding: finding.kilobytes, reverse=True)[:top]


@task
def licences(findings: list[Any]) -> dict[str, int]:
    counts = Counter(finding.licence for finding in findings if isinstance(finding, Finding))
    return dict(counts.most_common(5))


@flow(name="summary")
def summary(findings: list[Any]) -> dict[str, Any]:
    """Sum up the findings in a nested flow, which has a run and task runs of its own."""
    largest = rank(findings)
    rows = [{"distribution": f.name, "version": f.version, "files": f.files, "kB": f.kilobytes} for f in largest]
    create_table_artifact(key="largest-distributions", table=rows, description="The largest installed distributions")
    return {"distributions": len(findings), "largest": rows, "licences": licences(findings)}


@flow(name="census", log_prints=True)
def census() -> dict[str, Any]:
    names = discover()
    print(f"found {len(names)} distributions, and one name that is wrong on purpose")
    findings = examine.map([*names, BROKEN], count_files=unmapped(True))
    for finding in findings:
        finding.wait()
    return summary([allow_failure(finding) for finding in findings])


if __name__ == "__main__":
    from census_report import announce, report

    announce()
    state = census(return_state=True)
    report(state)
    sys.exit(0 if state.is_completed() else 1)
