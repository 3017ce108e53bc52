"""A server with an agent, seven deployments, a past, and fresh runs of each: what the pages are shown with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import warm
from tests.homes import ROOT, ready_home
from tests.site.running import COMMAND, RunningServer, environment, orion, running_server

AGENT = "worker-1"
FLOWS = Path(__file__).with_name("flows.py")
WRITE_HISTORY = "import django; django.setup(); from tests.browser.sample.history import write; write()"


@contextmanager
def sample_server(home: Path) -> Iterator[RunningServer]:
    """Serve the sample from `home`, which is filled first; of the fresh runs one is long, one asks, the rest ended."""
    ready_home(home)
    # No agent serves it.
    orion(home, "work-pool", "create", "gpu")
    _python([str(FLOWS)], environment(home))
    _python(["-c", WRITE_HISTORY], environment(home, DJANGO_SETTINGS_MODULE="orion_site.settings"))
    with running_server(home) as server:
        variables = environment(home, ORION_API_URL=f"http://127.0.0.1:{server.port}/api", PYTHONPATH=str(FLOWS.parent))
        with _agent(variables):
            _python(["-c", "import flows; flows.run()"], variables)
            yield server


@contextmanager
def _agent(variables: dict[str, str]) -> Iterator[None]:
    words = ["agent", "start", "--quiet", "--pool", "default-agent-pool", "--name", AGENT, "--drain-timeout", "0"]
    process = warm.Popen([*COMMAND, *words], env=variables, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _python(words: list[str], variables: dict[str, str]) -> None:
    warm.run([sys.executable, *words], env=variables, cwd=ROOT, check=True, timeout=300)
