"""The SDK is light: names are loaded when they are used, and nothing of the server is."""

from __future__ import annotations

import subprocess
import sys

import pytest

import orionflow


def loaded_by(program: str) -> set[str]:
    """The top-level packages that a program loads in a fresh interpreter."""
    ask = f"import sys; before = set(sys.modules); {program}; print(*sorted(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_importing_the_package_loads_no_part_of_it():
    loaded = {name for name in loaded_by("import orionflow") if name.startswith("orionflow")}

    assert loaded == {"orionflow"}


def test_decorators_load_neither_server_nor_network():
    loaded = {name.split(".")[0] for name in loaded_by("from orionflow import flow, task")}

    assert loaded.isdisjoint(
        {"django", "rest_framework", "orion_site", "requests", "cloudpickle", "coolname", "pydantic"}
    )
    # Together they would be a third of the import.
    assert loaded.isdisjoint({"asyncio", "ssl", "hashlib", "json", "logging", "tempfile", "shutil", "secrets", "hmac"})


@pytest.mark.parametrize("name", orionflow.__all__)
def test_every_name_can_be_loaded(name: str):
    assert getattr(orionflow, name) is not None
    assert name in dir(orionflow)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'flw'"):
        _ = orionflow.flw
