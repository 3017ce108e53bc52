"""Builds both wheels as they would be published, and environments to install them into."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build_wheels(into: Path) -> list[Path]:
    """The wheels of the SDK and of the server, built with the build backend of this environment."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(into), str(ROOT / "sdk"), str(ROOT))
    return sorted(into.glob("*.whl"))


def new_environment(at: Path) -> Path:
    """An empty virtual environment; the answer is its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(at)], check=True)
    return at / "bin" / "python"


def locked_versions(into: Path) -> Path:
    """A file of constraints for pip with the versions that this repository was tested with."""
    lines = (ROOT / "requirements" / "product.txt").read_text().splitlines()
    pinned = [line.removesuffix("\\").strip() for line in lines if "==" in line and not line.startswith((" ", "#"))]
    constraints = into / "constraints.txt"
    constraints.write_text("\n".join(pinned) + "\n")
    return constraints


def pip(*arguments: str, python: Path | str = sys.executable) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def installed_packages(python: Path) -> list[str]:
    """Names of what is installed, without the tools that every environment starts with."""
    lines = pip("list", "--format=freeze", python=python).splitlines()
    names = [line.partition("==")[0] for line in lines]
    return [name for name in names if name not in {"pip", "setuptools", "wheel"}]
