"""Every module of the product can be imported: nothing waits in a corner for the first user who needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.running import environment

ROOT = Path(__file__).parents[2]
# Some modules are only for servers with a broker, or for servers that Celery beat ticks.
OF_A_CLUSTER = {"ORION_BROKER_URL": "redis://127.0.0.1:6379/0", "ORION_BEAT": "1"}
IMPORT_ALL = """
import importlib, os, pathlib, sys
if sys.argv[1:] != ["sdk/src/orionflow"]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "orion_site.settings"
    import django
    django.setup()
failed = []
for root in map(pathlib.Path, sys.argv[1:]):
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if parts[-1] == "__main__":
            continue
        try:
            importlib.import_module(name)
        except Exception as error:
            failed.append(f"{name}: {error!r}")
print("\\n".join(failed))
"""


@pytest.mark.parametrize(
    "roots",
    [["sdk/src/orionflow"], ["orion_site", "orchestration", "runs", "deployments", "events"]],
    ids=["sdk", "server"],
)
def test_every_module_can_be_imported(roots: list[str], tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *roots],
        cwd=ROOT,
        env=environment(tmp_path, **OF_A_CLUSTER),
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
