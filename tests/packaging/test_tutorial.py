"""The tutorial from an empty machine, by its own text: its install lines, its commands, and what they print."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.docs.session import Session, follow
from tests.packaging.wheels import ROOT, locked_versions

# Two installs by pip, and a server.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def copy_of_the_repository(at: Path) -> Path:
    """Copy what a clone has, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, at / name)
    return at


def test_the_tutorial_does_what_it_shows_on_an_empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The versions that this repository was tested with.
    monkeypatch.setenv("PIP_CONSTRAINT", str(locked_versions(tmp_path)))
    (tmp_path / "home").mkdir()
    session = Session(copy_of_the_repository(tmp_path / "clone"), tmp_path / "home", installing=True)
    try:
        differing = list(follow(ROOT / "docs" / "tutorial.md", session))
        with urlopen(f"http://127.0.0.1:{session.port}/runs", timeout=30) as answer:
            page = answer.read().decode()
    finally:
        session.close()

    assert not differing, "\n\n".join(differing)
    assert "checkout" in page
