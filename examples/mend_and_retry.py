"""A pipeline fails far away: pull the run, replay it here, mend the code, and retry the run.

Run it: `python examples/mend_and_retry.py`. It writes a pipeline into a temporary folder, and runs the same `orion`
commands that a user would type.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PIPELINE = """
from orionflow import flow, task

ORDERS = [{"id": 1, "price": "10.50"}, {"id": 2, "price": "7,25"}, {"id": 3, "price": "3.00"}]


@task(persist_result=True)
def extract():
    print("extract asks the shop: it takes long, and costs money")
    return ORDERS


@task(persist_result=True)
def price_of(order):
    return float(order["price"])


@task
def load(prices):
    print(f"loaded {sum(prices):.2f} EUR")


@flow(log_prints=True)
def orders():
    load([one.result() for one in price_of.map(extract())])
"""


def orion(*words: str, folder: Path, code: int = 0) -> str:
    """Run a command as on a terminal, and show it."""
    print(f"\n$ orion {' '.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "orionflow.cli", *words], cwd=folder, capture_output=True, text=True, env=os.environ
    )
    print(done.stdout + done.stderr, flush=True)
    if done.returncode != code:
        raise SystemExit(f"orion {words[0]} ended with {done.returncode} instead of {code}")
    return done.stdout + done.stderr


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = folder / "pipeline.py"
        pipeline.write_text(PIPELINE)

        # At night, the run fails because one price is written with a comma.
        orion("run", "pipeline.py:orders", "--name", "nightly", folder=folder, code=1)

        # In the morning: what failed, and why?
        orion("problem", "ls", folder=folder)
        orion("problem", "show", "@last", folder=folder)

        # After two commands it fails here in the same way; `extract` reuses its recorded result, and costs nothing.
        orion("pull", "nightly", "--entrypoint", "pipeline.py:orders", "-f", "nightly.orion", folder=folder)
        orion("replay", "nightly.orion", "--yes", folder=folder, code=1)

        # With the code fixed, it completes. Then the run itself is retried from the failed task, and reuses results.
        pipeline.write_text(PIPELINE.replace('float(order["price"])', 'float(order["price"].replace(",", "."))'))
        orion("replay", "nightly", "--entrypoint", "pipeline.py:orders", "--yes", "--retry", folder=folder)

        output = orion("flow-run", "inspect", "nightly", "--columns", "name,state", folder=folder)
        assert "Completed" in output


if __name__ == "__main__":
    main()
