"""Servers that start at the same time, and servers that are older than their database."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from orion_site.database.lifecycle import DatabaseUnusable, check, prepare, upgrade
from tests import warm
from tests.postgresql import running_postgresql
from tests.rounds import THOROUGH
from tests.site.running import COMMAND, PATIENCE_SECONDS, after_banner, environment

SERVERS = 3 if THOROUGH else 2


@pytest.mark.slow
def test_of_servers_that_start_at_once_one_migrates_and_the_others_wait(tmp_path):
    with running_postgresql(ready=True) as url, ExitStack() as running:
        # The tables of beat are what is still to be made.
        beat = environment(tmp_path, ORION_DATABASE_URL=url, ORION_BEAT="true")

        servers = [
            running.enter_context(
                warm.Popen(
                    [*COMMAND, "server", "start", "--port", "0", "--no-agent"],
                    env=beat,
                    stderr=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                )
            )
            for _ in range(SERVERS)
        ]
        try:
            answers = [after_banner(server).get("/api/health")[0] for server in servers]
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.communicate(timeout=PATIENCE_SECONDS)

    assert answers == [200] * SERVERS


@pytest.mark.django_db
def test_a_database_of_a_newer_version_is_refused():
    MigrationRecorder(connection).record_applied("runs", "9999_of_tomorrow")

    with pytest.raises(DatabaseUnusable, match=r"is newer than this Orion \(1 migrations ahead\)"):
        prepare()
    report = check()
    assert not report.ok
    assert report.unknown == ("runs.9999_of_tomorrow",)


@pytest.mark.django_db(transaction=True)
def test_a_database_of_a_newer_version_is_not_upgraded():
    recorder = MigrationRecorder(connection)
    recorder.record_applied("runs", "9999_of_tomorrow")

    try:
        with pytest.raises(DatabaseUnusable, match="is newer than this Orion"):
            upgrade()
    finally:
        recorder.record_unapplied("runs", "9999_of_tomorrow")


@pytest.mark.django_db
def test_migrations_of_other_programs_are_their_own_affair():
    MigrationRecorder(connection).record_applied("somebody", "0001_else")

    prepare()
    assert check().ok
