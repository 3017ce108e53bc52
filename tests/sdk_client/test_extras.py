"""The command that installs an optional part; no index of packages must know the SDK for it."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from orionflow.extras import install_command

DECLARED = tomllib.loads((Path(__file__).parents[2] / "sdk" / "pyproject.toml").read_text())
EXTRAS = DECLARED["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_packages_of_an_extra_are_named(extra: str):
    words = shlex.split(install_command(extra))

    assert words[:2] == ["pip", "install"]
    names = {word.split(">")[0].split("<")[0] for word in words[2:]}
    assert names == {wanted.split(">")[0].split("<")[0] for wanted in EXTRAS[extra]}
