"""PostgreSQL is put back to a moment by its archive, as the documentation says: nothing from before is missing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import psycopg
import pytest

from tests.agents.running import Api
from tests.conftest import DATABASE
from tests.faults.cluster import verified
from tests.homes import ready_home
from tests.postgresql import running_from, running_postgresql_server
from tests.site.running import orion, running_server

pytestmark = [
    pytest.mark.skipif(DATABASE != "postgresql", reason="SQLite has no archive of its log"),
    pytest.mark.slow,
    pytest.mark.long,
]
MARK = "%Y-%m-%d %H:%M:%S.%f%z"


def archived_in(folder: Path) -> str:
    return f"""
wal_level = replica
archive_mode = on
archive_command = 'cp %p {folder}/%f'
"""


def put_back_to(moment: str, folder: Path) -> str:
    return f"""
restore_command = 'cp {folder}/%f %p'
recovery_target_time = '{moment}'
recovery_target_action = promote
"""


def add_to_configuration(data: Path, lines: str) -> None:
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(lines)


def folder_beside(data: Path, name: str) -> Path:
    """Make a folder of PostgreSQL's own user."""
    folder = data.with_name(name)
    folder.mkdir(mode=0o700)
    shutil.chown(folder, data.owner(), data.group())
    return folder


def made_runs(home: Path, settings: dict[str, str], number: int) -> set[str]:
    with running_server(home, **settings) as server:
        api = Api(server)
        deployment = api.deploy("nowhere.py:nothing")
        return {api.run(deployment) for _ in range(number)}


def runs_there(home: Path, settings: dict[str, str]) -> set[str]:
    with running_server(home, **settings) as server:
        return {run["id"] for run in Api(server).post("/flow_runs/filter", {})}


def test_the_database_is_restored_to_the_moment_before_a_mistake(tmp_path: Path):
    home = ready_home(tmp_path / "home")
    with running_postgresql_server(ready=True) as server:
        data = server.data
        archive, copy = (folder_beside(data, name) for name in ("archive", "copy"))
        server.stop()
        add_to_configuration(data, archived_in(archive))
        server.start()
        settings = {"ORION_DATABASE_URL": server.url}

        before_the_copy = made_runs(home, settings, 5)
        server.run("pg_basebackup", "-D", str(copy), "-X", "none", "-c", "fast")
        after_the_copy = made_runs(home, settings, 5)
        with psycopg.connect(server.url, autocommit=True) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            time.sleep(0.1)
        mistake = orion(home, "database", "reset", "--yes", **settings)
        assert mistake.returncode == 0, mistake.stderr
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("SELECT pg_switch_wal()")
        assert runs_there(home, settings) == set()
        server.stop()

        add_to_configuration(copy, put_back_to(row[0].strftime(MARK), archive))
        # The wheel's server has its socket among its files.
        (copy / ".s.PGSQL.5432.lock").unlink()
        (copy / "recovery.signal").touch()
        shutil.chown(copy / "recovery.signal", data.owner(), data.group())
        with running_from(copy) as restored:
            settings = {"ORION_DATABASE_URL": restored.url}
            assert runs_there(home, settings) == before_the_copy | after_the_copy
            assert verified(home, settings) == ""
