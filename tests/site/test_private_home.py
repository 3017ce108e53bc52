"""Whatever Orion writes into its home is its owner's alone, however open the umask is."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from tests import warm
from tests.site.running import environment, orion, running_server

PROGRAM = """
from orionflow import flow, task
from orionflow import Secret

@task(persist_result=True, cache_key_fn=lambda context, parameters: "known")
def number():
    return 1

@flow(persist_result=True)
def outer():
    Secret(value="hush").save("mine", overwrite=True)
    return number()

outer()
"""
WITHOUT_API = "from orionflow import flow\n\n@flow\ndef inner():\n    pass\n\ninner()\n"


def open_to_others(folder: Path) -> list[str]:
    """Everything below that anybody else may read, write or enter."""
    paths = [folder, *folder.rglob("*")]
    # Kombu writes its messages by the umask, into folders that nobody else can enter.
    found = [path for path in paths if path.exists() and not (path.is_file() and "broker" in path.parts)]
    return [f"{path.relative_to(folder)} {stat.S_IMODE(path.stat().st_mode):o}" for path in found if shared(path)]


def shared(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def run(program: str, home: Path, **more: str) -> None:
    # An API that is away leaves reports behind; the program may fail for that.
    command = [sys.executable, "-c", program]
    warm.run(command, env=environment(home, **more), capture_output=True, timeout=120, umask=0)


def test_a_home_and_all_that_comes_into_it_is_private(tmp_path: Path):
    home = tmp_path / "deep" / "home"
    before = os.umask(0)
    try:
        with running_server(home, agent=True, ready=False) as server:
            api = f"http://127.0.0.1:{server.port}/api"
            run(PROGRAM, home, ORION_API_URL=api)
            assert server.interrupt()[0] == 0
        run(PROGRAM, home)
        run(
            WITHOUT_API,
            home,
            ORION_API_URL="http://127.0.0.1:9/api",
            ORION_API_RETRY_BUDGET_SECONDS="0.1",
            ORION_REPORTING_BUDGET_SECONDS="0.1",
        )
        assert orion(home, "profile", "create", "other").returncode == 0
        assert orion(home, "database", "backup", str(home / "copy.db")).returncode == 0
    finally:
        os.umask(before)

    names = {path.name for path in home.iterdir()}
    assert names >= {"orion.db", "secret-key", "encryption-key", "results", "profiles.toml", "copy.db"}
    assert open_to_others(tmp_path / "deep") == []
