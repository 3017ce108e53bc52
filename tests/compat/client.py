"""Where `make compat` installs the client that we did not write; tests that need it are skipped without it."""

from __future__ import annotations

from pathlib import Path

import pytest

BIN = Path(__file__).parents[2] / ".cache" / "peers" / "prefect2" / "bin"
PYTHON = BIN / "python"

needs_client = pytest.mark.skipif(not PYTHON.exists(), reason="make compat installs it")
