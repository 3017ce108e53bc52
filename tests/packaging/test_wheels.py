"""The wheels hold everything that is needed, and no name that belongs to others."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.packaging.wheels import ROOT, build_wheels


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Distribution name → the files of its wheel."""
    wheels = build_wheels(tmp_path_factory.mktemp("wheels"))
    return {wheel.name.split("-")[0]: set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels}


def test_wheels_put_only_their_own_names_into_site_packages(contents: dict[str, set[str]]) -> None:
    tops = {name: {path.partition("/")[0] for path in paths} for name, paths in contents.items()}

    own = {name: {top for top in found if not top.endswith(".dist-info")} for name, found in tops.items()}

    assert own == {"orionflow": {"orionflow"}, "orionflow_server": {"orion_site"}}


@pytest.mark.parametrize(
    ("folder", "inside"),
    [
        ("orchestration", "orion_site/_apps/orchestration"),
        ("runs", "orion_site/_apps/runs"),
        ("deployments", "orion_site/_apps/deployments"),
        ("templates", "orion_site/_data/templates"),
        ("static", "orion_site/_data/static"),
        ("docs", "orion_site/_data/docs"),
        ("orion_site", "orion_site"),
    ],
)
def test_server_wheel_holds_every_file_of_its_folders(folder: str, inside: str, contents: dict[str, set[str]]) -> None:
    source = ROOT / folder

    wanted = {f"{inside}/{path.relative_to(source)}" for path in shipped(source)}

    assert wanted - contents["orionflow_server"] == set()


def test_sdk_wheel_is_typed_and_licensed(contents: dict[str, set[str]]) -> None:
    paths = contents["orionflow"]

    assert "orionflow/py.typed" in paths
    assert any(path.endswith("licenses/LICENSE") for path in paths)


def test_wheels_hold_no_tests_and_no_leftovers(contents: dict[str, set[str]]) -> None:
    everything = set().union(*contents.values())

    unwanted = {path for path in everything if "tests/" in path or "__pycache__" in path or path.endswith(".db")}

    assert unwanted == set()


def shipped(source: Path) -> list[Path]:
    return [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
