"""Other revisions of this repository, checked out and installed below `.cache/revisions`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.measuring import ROOT, Installation

CACHE = ROOT / ".cache" / "revisions"
LOCK = Path("requirements", "product.txt")


def installed_revision(revision: str) -> Installation:
    """Check out a revision and install it into an environment of its own, once."""
    commit = _output("git", "rev-parse", "--short=9", "--verify", f"{revision}^{{commit}}")
    tree, home = CACHE / commit / "tree", CACHE / commit / "environment"
    python = home / "bin" / "python"
    finished = home / "installed"
    if not (finished.exists() and tree.exists()):
        if not tree.exists():
            # --force, because git still lists a worktree whose folder was deleted.
            _run("git", "worktree", "add", "--force", "--detach", "--quiet", str(tree), commit)
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(home))
        install_requirements(tree, python)
        editable = ("--no-deps", "--no-build-isolation", "-e", str(tree / "sdk"), "-e", str(tree))
        _pip(python, *editable)
        finished.touch()
    return Installation(commit, python)


def install_requirements(tree: Path, python: Path) -> None:
    """Install the packages of a revision's lock, or share this environment's packages if the locks are equal.

    With the same packages, only Orion's code is compared; a revision with another lock gets packages of its own.
    """
    own, here = tree / LOCK, ROOT / LOCK
    if own.exists() and own.read_bytes() != here.read_bytes():
        _pip(python, "--require-hashes", "-r", str(own))
        return
    unmet = [str(each) for each in requirements_of(tree) if not is_met(each)]
    if unmet:
        raise SystemExit(f"this environment does not meet the requirements of {tree}: {', '.join(unmet)}")
    # A plain path, not a site directory, so that .pth files of this tree are not processed.
    (lent,) = Path(sys.executable).parent.parent.glob("lib/*/site-packages")
    (site_packages,) = python.parent.parent.glob("lib/*/site-packages")
    (site_packages / "lent.pth").write_text(f"{lent}\n")


def requirements_of(tree: Path) -> list[Requirement]:
    """Return all requirements of server, SDK and agent of a tree, except each other."""
    server, sdk = (
        tomllib.loads((tree / path).read_text())["project"] for path in ("pyproject.toml", "sdk/pyproject.toml")
    )
    texts = [*server["dependencies"], *sdk["dependencies"], *sdk["optional-dependencies"]["agent"]]
    return [each for each in map(Requirement, texts) if each.name != "orionflow"]


def is_met(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _pip(python: Path, *arguments: str) -> None:
    _run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "--disable-pip-version-check",
        "--quiet",
        "install",
        *arguments,
    )


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)
