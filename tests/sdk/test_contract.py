"""The contract is the bottom layer: it knows nothing of the SDK above it."""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

import orionflow.contract
from tests.sdk.test_import import loaded_by

MODULES = [f"orionflow.contract.{module.name}" for module in iter_modules(orionflow.contract.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_the_contract_imports_nothing_of_the_sdk(module: str):
    loaded = {name for name in loaded_by(f"import {module}") if name.startswith("orionflow")}

    assert {name for name in loaded if not name.startswith("orionflow.contract")} == {"orionflow"}
