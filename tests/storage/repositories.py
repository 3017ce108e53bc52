"""Git repositories of this machine, for tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@orion.example")


class Repository:
    """A bare repository, and a work tree of it."""

    def __init__(self, folder: Path, name: str = "shop") -> None:
        self.tree, self.bare = folder / f"{name}-tree", folder / f"{name}.git"
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git("clone", "--quiet", str(self.bare), str(self.tree))
        git("symbolic-ref", "HEAD", "refs/heads/main", where=self.tree)

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def commit(self, *, branch: str = "main", **files: str) -> str:
        """Write files (dots in their names are written __), and push them; the commit."""
        git("checkout", "--quiet", "-B", branch, where=self.tree)
        for name, content in files.items():
            path = self.tree / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        git("add", ".", where=self.tree)
        git(*WHO, "commit", "--quiet", "--message", "Change", where=self.tree)
        git("push", "--quiet", "origin", branch, where=self.tree)
        return git("rev-parse", "HEAD", where=self.tree)


def git(*words: str, where: Path | None = None) -> str:
    done = subprocess.run(["git", *words], cwd=where, check=True, capture_output=True, text=True)
    return done.stdout.strip()
