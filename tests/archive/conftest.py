"""An archive of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.archive import place as places


@pytest.fixture(autouse=True)
def archive(settings, tmp_path: Path) -> Path:
    settings.ORION_ARCHIVE_PATH = str(tmp_path / "archive")
    places._places.clear()
    return tmp_path / "archive"
