"""The wheels in empty environments, by pip and with the locked versions: the main job runs there, in an empty home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.wheels import build_wheels, installed_packages, locked_versions, new_environment, pip

pytestmark = pytest.mark.slow

# Before Python 3.11.3 the client of Redis needs a package for limits of time.
MOST_PACKAGES_OF_SDK, MOST_PACKAGES = 13, 76 + (sys.version_info < (3, 11, 3))

PROGRAM = """
from orionflow import flow, task

@task
def double(number):
    return 2 * number

@flow
def doubles(count):
    return [future.result() for future in double.map(range(count))]

if __name__ == "__main__":
    assert doubles(5) == [0, 2, 4, 6, 8]
"""


VISIT = """
import orion_site, django
django.setup()
from django.test import Client
from orion_site.database.lifecycle import prepare
from orion_site.http.peers import OWN_USER
prepare()
visitor = Client(**{OWN_USER: True})
pages = ("/runs", "/static/css/orion.css", "/api/health", "/help/tutorial")
print([visitor.get(page, HTTP_HOST="localhost").status_code for page in pages])
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheels: list[Path]) -> Path:
    """The Python of an environment with both wheels and what they need, nothing else."""
    made = new_environment(tmp_path_factory.mktemp("environment") / "venv")
    constraints = locked_versions(tmp_path_factory.mktemp("constraints"))
    pip("install", "-c", str(constraints), *map(str, wheels), python=made)
    return made


def test_main_job_runs_from_installed_wheels_in_an_empty_home(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)

    run(tmp_path, str(python), "program.py")

    listed = run(tmp_path, str(python.parent / "orion"), "flow-run", "ls", "-o", "json")
    assert [found["state"]["type"] for found in json.loads(listed)] == ["COMPLETED"]


def test_installed_server_serves_pages_and_styles(python: Path, tmp_path: Path) -> None:
    answered = run(tmp_path, str(python), "-c", VISIT, DJANGO_SETTINGS_MODULE="orion_site.settings")

    assert answered.strip() == "[200, 200, 200, 200]"


def test_general_names_do_not_land_in_site_packages(python: Path) -> None:
    (site_packages,) = python.parent.parent.glob("lib/*/site-packages")

    names = {path.name for path in site_packages.iterdir()}

    assert names.isdisjoint({"runs", "orchestration", "deployments", "templates", "static", "tests", "benchmarks"})


def test_whole_product_needs_few_packages(python: Path) -> None:
    packages = installed_packages(python)

    assert len(packages) <= MOST_PACKAGES, packages


def test_sdk_alone_needs_very_few_packages_and_names_missing_ones(wheels: list[Path], tmp_path: Path) -> None:
    light = new_environment(tmp_path / "light")
    of_sdk = [str(wheel) for wheel in wheels if wheel.name.startswith("orionflow-")]
    pip("install", "-c", str(locked_versions(tmp_path)), *of_sdk, python=light)
    (tmp_path / "program.py").write_text(PROGRAM)

    alone = subprocess.run(
        [str(light), "program.py"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
    )

    packages = installed_packages(light)
    assert len(packages) <= MOST_PACKAGES_OF_SDK, packages
    assert alone.returncode != 0
    assert "orionflow-server" in alone.stderr


def run(home: Path, *command: str, **extra: str) -> str:
    finished = subprocess.run(
        command, cwd=home, env=environment(home, **extra), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing but where Orion's home is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_", "PYTHON"))}
    return kept | {"ORION_HOME": str(home / "home")} | extra
