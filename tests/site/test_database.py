"""The database as a process finds it: new, old, damaged, missing. Every trouble is one sentence and changes nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured

from orion_site.database.sqlite.files import file_system_of, looks_truncated
from orion_site.env import database_from_url
from tests import warm
from tests.postgresql import running_postgresql

# Each test chooses its database itself; once is enough.
pytestmark = pytest.mark.skipif(os.environ.get("ORION_TEST_DATABASE") == "postgresql", reason="runs with SQLite")

START = """
import sys
from orion_site.bootstrap import ephemeral_application
try:
    ephemeral_application()
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def in_a_process(home: Path, code: str = START, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "DJANGO_"))}
    return warm.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**kept, "ORION_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a database."""
    home = tmp_path / "home"
    assert in_a_process(home).returncode == 0
    return home


def tables_of(file: Path) -> set[str]:
    with sqlite3.connect(file) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def test_an_empty_home_gets_a_database_and_one_line_about_it(tmp_path):
    home = tmp_path / "deep" / "home"

    started = in_a_process(home)

    assert started.returncode == 0
    assert started.stderr == f"Orion created its database at {home}/orion.db.\n"
    assert {"runs_flowrun", "runs_taskrun", "deployments_slot"} <= tables_of(home / "orion.db")
    assert sorted(file.name for file in home.iterdir()) == ["orion.db", "orion.db.lock"]


def test_the_second_start_prints_nothing(home):
    started = in_a_process(home)

    assert (started.returncode, started.stdout, started.stderr) == (0, "", "")


def test_looking_at_the_file_again_leaves_the_log_of_open_connections(home):
    twice = """
        import sqlite3, subprocess, sys
        from orion_site.bootstrap import ephemeral_application
        ephemeral_application()
        from django.db import connection
        from orion_site.database.lifecycle import prepare
        connection.ensure_connection()
        prepare()
        file = connection.settings_dict["NAME"]
        other = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM runs_flow'); c.close()"
        subprocess.run([sys.executable, "-c", other, file], check=True)
        from runs.models import Flow
        Flow.objects.create(name="kept")
        found = sqlite3.connect(file).execute("SELECT name FROM runs_flow").fetchall()
        print(found)
        """

    ended = in_a_process(home, textwrap.dedent(twice))

    assert (ended.stdout, ended.stderr) == ("[('kept',)]\n", "")


def test_first_starts_at_once_make_one_database(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        starts = list(pool.map(lambda _: in_a_process(tmp_path / "home"), range(4)))

    assert [start.returncode for start in starts] == [0] * 4
    assert [bool(start.stderr) for start in starts].count(True) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b"this is not a database at all" * 100),
        lambda file: os.truncate(file, file.stat().st_size // 2),
        lambda file: os.truncate(file, 100),
        lambda file: file.write_bytes(file.read_bytes()[:4096] + b"\xa5" * (file.stat().st_size - 4096)),
    ],
    ids=["another file", "cut in half", "only a header", "flipped bytes"],
)
def test_a_damaged_file_is_named_and_left_as_it_is(home, spoil):
    file = home / "orion.db"
    spoil(file)
    before = file.read_bytes()

    started = in_a_process(home)

    expected = f"{file} is not a SQLite database or is damaged; restore a backup or move it away."
    assert started.stderr == f"DatabaseUnusable: {expected}\n"
    assert started.returncode == 1
    assert file.read_bytes() == before


def test_a_half_written_log_is_not_damage(home):
    file = home / "orion.db"
    writer = sqlite3.connect(file)
    writer.execute("INSERT INTO runs_flow (id, created, updated, name, tags) VALUES ('a', '', '', 'kept', '[]')")
    writer.commit()
    copy = home.parent / "copy"
    copy.mkdir()
    (copy / "orion.db").write_bytes(file.read_bytes())
    log = (home / "orion.db-wal").read_bytes()
    (copy / "orion.db-wal").write_bytes(log + log[: len(log) // 3])
    writer.close()

    started = in_a_process(copy)

    assert (started.returncode, started.stderr) == (0, "")


def test_an_empty_file_is_not_treated_as_a_database(home):
    (home / "orion.db").write_bytes(b"")

    started = in_a_process(home)

    assert "has no tables of Orion; create them with `orion database upgrade`." in started.stderr
    assert (home / "orion.db").stat().st_size == 0


def test_a_path_that_was_given_and_is_not_there_is_not_created(tmp_path):
    wrong = tmp_path / "typo.db"

    started = in_a_process(tmp_path / "home", ORION_DATABASE_URL=f"sqlite:///{wrong}")

    assert f"There is no database at {wrong}; create it with `orion database upgrade`." in started.stderr
    assert not wrong.exists()


def test_a_log_without_its_database_is_not_written_over(home):
    (home / "orion.db").unlink()
    (home / "orion.db-wal").write_bytes(b"all that is left")

    started = in_a_process(home)

    assert "its write-ahead log is still there" in started.stderr
    assert not (home / "orion.db").exists()


def test_files_of_a_killed_first_start_are_deleted(tmp_path):
    home = tmp_path / "new"
    home.mkdir()
    for name in ("orion.db.123.new", "orion.db.123.new-wal", "orion.db.123.new-shm"):
        (home / name).write_bytes(b"half of a database")

    started = in_a_process(home)

    assert started.returncode == 0, started.stderr
    assert not list(home.glob("*.new*"))
    assert (home / "orion.db").exists()


def test_an_older_database_is_not_upgraded_in_passing(home):
    with sqlite3.connect(home / "orion.db") as connection:
        newest = "SELECT MAX(name) FROM django_migrations WHERE app = 'runs'"
        connection.execute(f"DELETE FROM django_migrations WHERE app = 'runs' AND name = ({newest})")
    connection.close()

    started = in_a_process(home)

    assert "is older than this Orion (migrations missing: 1); run `orion database upgrade`." in started.stderr


def test_a_server_adds_the_tables_that_only_it_needs(home):
    code = "import django; django.setup(); from orion_site.database.lifecycle import prepare; prepare()"

    started = in_a_process(home, code, DJANGO_SETTINGS_MODULE="orion_site.settings")

    assert (started.returncode, started.stderr) == (0, "")
    assert {"django_session", "runs_flowrun"} <= tables_of(home / "orion.db")


ADMINISTER = """
import django; django.setup()
from orion_site.database import lifecycle as database
print(database.check().problem)
print(database.upgrade().created)
print(database.check(deep=True).ok, database.upgrade().applied)
from runs.models import Flow
Flow.objects.create(name="gone")
database.reset()
print(Flow.objects.count(), database.check(deep=True).ok)
"""


def test_upgrade_check_and_reset_print_what_they_did(tmp_path):
    home = tmp_path / "home"

    done = in_a_process(home, ADMINISTER, DJANGO_SETTINGS_MODULE="orion_site.settings")

    assert done.stderr == ""
    problem, *others = done.stdout.splitlines()
    assert problem == f"There is no database at {home}/orion.db; create it with `orion database upgrade`."
    assert others == ["True", "True ()", "0 True"]


# The round on PostgreSQL begins with an upgrade, and interrupts resets.
@pytest.mark.long
def test_postgresql_is_upgraded_checked_and_reset_alike(tmp_path, postgresql_url):
    environment = {"ORION_DATABASE_URL": postgresql_url, "DJANGO_SETTINGS_MODULE": "orion_site.settings"}

    done = in_a_process(tmp_path, ADMINISTER, **environment)

    assert done.stderr == ""
    problem, *others = done.stdout.splitlines()
    assert "has no tables of Orion; create them with `orion database upgrade`." in problem
    assert others == ["False", "True ()", "0 True"]


BEFORE_A_COLUMN_OF_FLOW_RUNS = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", "runs", "0030", verbosity=0)
"""
UPGRADE = "import django; django.setup(); from orion_site.database.lifecycle import upgrade; upgrade()"


@pytest.mark.long
@pytest.mark.slow
def test_servers_use_tables_while_a_migration_waits_for_a_long_transaction(tmp_path):
    with running_postgresql(ready=True) as url, psycopg.connect(url, autocommit=True) as server:
        environment = {"ORION_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "orion_site.settings"}
        assert in_a_process(tmp_path, BEFORE_A_COLUMN_OF_FLOW_RUNS, **environment).returncode == 0
        server.execute("SET lock_timeout = '3s'")
        with psycopg.connect(url) as dump, ThreadPoolExecutor(1) as pool:
            dump.execute("SELECT count(*) FROM runs_flowrun")
            upgrade = pool.submit(in_a_process, tmp_path, UPGRADE, **environment)
            waiting = "SELECT 1 FROM pg_locks WHERE relation = 'runs_flowrun'::regclass AND NOT granted"
            while not (upgrade.done() or server.execute(waiting).fetchone()):
                time.sleep(0.05)

            server.execute("UPDATE runs_flowrun SET name = name")

            dump.rollback()
            done = upgrade.result()
        columns = server.execute("SELECT * FROM runs_flowrun").description or ()

    assert done.returncode == 0, done.stderr
    assert "Waiting for transactions that read or write the tables of the migration runs.0031" in done.stderr
    assert "limited_by" in {one.name for one in columns}


@pytest.mark.parametrize("rest", ["me:secret@host:port/orion", "me:sec/secret@host/orion", "me:secret@[host/orion"])
def test_an_invalid_address_is_reported_without_its_password(rest):
    with pytest.raises(ImproperlyConfigured) as raised:
        database_from_url(f"postgresql://{rest}")

    assert "ORION_DATABASE_URL" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_missing_postgresql_is_reported_in_one_sentence(tmp_path):
    started = in_a_process(tmp_path, ORION_DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/orion")

    assert started.stderr.startswith("DatabaseUnusable: PostgreSQL cannot be used (orion on 127.0.0.1)")
    assert started.stderr.count("\n") == 1
    assert "secret" not in started.stderr


def test_a_returning_postgresql_is_noticed_soon_after_an_outage_of_any_length():
    """A pool doubles the time between its attempts until it gives up; the next request starts again."""
    pool = database_from_url("postgresql://host/orion")["OPTIONS"]["pool"]

    assert 0 < pool["reconnect_timeout"] <= pool["timeout"]


def test_a_process_of_another_django_project_gets_a_hint(tmp_path):
    started = in_a_process(tmp_path / "home", DJANGO_SETTINGS_MODULE="mysite.settings")

    assert started.stderr.startswith("ImproperlyConfigured: This process belongs to another Django project")


def test_a_forked_child_has_connections_of_its_own(home):
    code = """
import os
from orion_site.bootstrap import ephemeral_application
ephemeral_application()
from runs.models import Flow
Flow.objects.create(name="parent")
child = os.fork()
if not child:
    Flow.objects.create(name="child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(sorted(Flow.objects.values_list("name", flat=True)))
"""

    done = in_a_process(home, code)

    assert (done.stdout, done.stderr) == ("['child', 'parent']\n", "")


def test_network_file_systems_are_recognised_by_the_list_of_mounts(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda / ext4 rw 0 0\nnas:/home /mnt/my\\040home nfs4 rw 0 0\n")

    assert file_system_of(Path("/mnt/my home/.orion/orion.db"), mounts) == "nfs4"
    assert file_system_of(Path("/mnt/my homely/orion.db"), mounts) == "ext4"
    assert file_system_of(Path("/tmp"), tmp_path / "missing") is None


def test_a_sound_file_does_not_look_truncated(home):
    assert not looks_truncated(home / "orion.db")
