"""kill -9 in the middle of writing: what was acknowledged is there, and every history is whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.homes import ready_home
from tests.printed import read_line
from tests.rounds import rounds

ROOT = Path(__file__).parents[2]
ROUNDS = rounds(3)

VERIFY = """
import sys
from orion_site.bootstrap import ephemeral_application
ephemeral_application()
from orion_site.database import lifecycle as database
from django.utils import timezone
from deployments.upkeep.selectors.invariants import violations
from runs.models import FlowRunState, TaskRun, TaskRunState
from runs.states.selectors import unfolded

assert database.check(deep=True).ok
stored = {str(pk) for rows in (FlowRunState, TaskRunState) for pk in rows.objects.values_list("pk", flat=True)}
stored |= {str(state.pk) for run in TaskRun.objects.all() for state in unfolded(run)}
acknowledged = set(open(sys.argv[1]).read().split())
print("lost", len(acknowledged - stored))
print("broken", *violations(timezone.now()))
"""


def _environment(home: Path, url: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    return {**kept, "ORION_HOME": str(home), **({"ORION_DATABASE_URL": url} if url else {})}


def _write_and_kill(environment: dict[str, str], seconds: float) -> list[str]:
    """Return the states that were acknowledged to the writer before it died, without an incomplete last line."""
    writer = warm.Popen(
        [sys.executable, "-m", "tests.faults.writer"], stdout=subprocess.PIPE, env=environment, cwd=ROOT, text=True
    )
    assert writer.stdout is not None
    first = read_line(writer.stdout)
    time.sleep(seconds)
    writer.kill()
    rest = writer.stdout.read()
    writer.wait()
    writer.stdout.close()
    return [line for line in (first + rest).split("\n")[:-1] if line]


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path, request):
    postgresql = os.environ.get("ORION_TEST_DATABASE") == "postgresql"
    url = request.getfixturevalue("postgresql_url") if postgresql else None
    environment = _environment(tmp_path / "home", url)
    if url:
        upgrade = "import django; django.setup(); from orion_site.database.lifecycle import upgrade; upgrade()"
        settings = {"DJANGO_SETTINGS_MODULE": "orion_site.settings_embedded"}
        warm.run([sys.executable, "-c", upgrade], env={**environment, **settings}, cwd=ROOT, check=True)
    else:
        ready_home(tmp_path / "home")
    acknowledged = []

    for _ in range(ROUNDS):
        acknowledged += _write_and_kill(environment, random.uniform(0.05, 0.4))

    (tmp_path / "acknowledged").write_text("\n".join(acknowledged))
    verified = warm.run(
        [sys.executable, "-c", VERIFY, str(tmp_path / "acknowledged")],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (verified.stdout, verified.stderr) == ("lost 0\nbroken\n", "")
    assert len(acknowledged) > ROUNDS
