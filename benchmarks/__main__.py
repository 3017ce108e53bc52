"""Run the benchmarks, each in a child process, and print their results as a table.

python -m benchmarks                      all of them
python -m benchmarks tasks http_load      some of them
python -m benchmarks --peer               also the other products (installed below .cache/peers)
python -m benchmarks --scale              transitions with 1, 2 and 4 workers of a server; then benchmarks.simulation
python -m benchmarks --quick              smaller sizes, for a quick look
python -m benchmarks --against REV        this tree compared with another revision; --long for more and larger rounds
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from benchmarks import against
from benchmarks.measuring import ROOT

BENCHMARKS = (
    "start",
    "tasks",
    "http_load",
    "batch",
    "fingerprints",
    "footprint",
    "bytes",
    "folding",
    "claims",
    "dispatch",
    "planning",
    "retries",
    "persisted",
    "live",
    "comparing",
    "at_size",
    "keys",
    "replaying",
)
RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help=f"which: {', '.join(BENCHMARKS)}")
    parser.add_argument("--peer", action="store_true", help="measure the peers in the same run")
    parser.add_argument("--scale", action="store_true", help="1, 2 and 4 processes of a server on PostgreSQL")
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--against", metavar="REV", help="measure this tree beside another revision")
    parser.add_argument("--long", action="store_true", help="with --against: more rounds, larger sizes")
    asked = parser.parse_args()
    if asked.against:
        return against.main(asked.against, long=asked.long)
    if asked.quick:
        os.environ["ORION_BENCH_QUICK"] = "1"
    names = ["scale"] if asked.scale else asked.names or BENCHMARKS
    rows = [row for name in names for row in run(name, ["--peer"] if asked.peer else [])]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(rows, indent=1))
    print_table(rows)
    print(f"\nkept in {path.relative_to(ROOT)}")
    return 0


def run(name: str, options: list[str]) -> list[dict[str, Any]]:
    """Run one benchmark, print its rows as they arrive, and return them."""
    print(f"==> {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    rows = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            rows.append(json.loads(line))
            print("    " + ", ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    if process.returncode:
        raise SystemExit(f"benchmark {name} failed with exit code {process.returncode}")
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    print("\n| benchmark | who | figures |\n|---|---|---|")
    for row in rows:
        figures = ", ".join(f"{key} {value}" for key, value in row.items() if key not in {"bench", "who"})
        print(f"| {row['bench']} | {row.get('who', 'orion')} | {figures} |")


if __name__ == "__main__":
    raise SystemExit(main())
