"""A run completed with a wrong report: a user corrects the prices, and retries the run from the task that read them.

Run it: `python examples/retry_from_here.py`. What was downloaded before is reused; the preview says what runs again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SHOP = """
from pathlib import Path

from orionflow import flow, task


@task(persist_result=True)
def download() -> list[str]:
    print("downloading: it takes long, and costs money")
    return ["hat", "coat", "shoe"]


@task(persist_result=True)
def price(item: str) -> float:
    lines = Path("prices.txt").read_text().split()
    return float(dict(line.split("=") for line in lines)[item])


@task
def report(prices: list[float]) -> None:
    print(f"all together {sum(prices):.2f} EUR")


@flow(log_prints=True)
def shop() -> None:
    report(price.map(download()).result())
"""


def orion(*words: str, folder: Path) -> str:
    """Run a command as on a terminal, and show it."""
    print(f"\n$ orion {' '.join(words)}", flush=True)
    command = [sys.executable, "-m", "orionflow.cli", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ)
    print(done.stdout + done.stderr, flush=True)
    if done.returncode:
        raise SystemExit(f"orion {words[0]} ended with {done.returncode}")
    return done.stdout + done.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shop.py").write_text(SHOP)
        (folder / "prices.txt").write_text("hat=10 coat=9000 shoe=30")
        orion("run", "shop.py:shop", "--name", "evening", folder=folder)

        # The coat should cost 90 EUR. Only its price is read again, and the report is made again from all prices.
        (folder / "prices.txt").write_text("hat=10 coat=90 shoe=30")
        again = ("flow-run", "retry", "evening", "--entrypoint", "shop.py:shop", "--from", "price-1")
        orion(*again, "--dry-run", folder=folder)
        orion(*again, "--yes", folder=folder)


if __name__ == "__main__":
    main()
