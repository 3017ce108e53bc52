"""Tests run on real databases: SQLite, or with ORION_TEST_DATABASE=postgresql a PostgreSQL of their own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections
from django.template.loader import get_template
from django.urls import reverse
from hypothesis import settings as profiles

from deployments.upkeep import current_settings
from orion_site.accounts import throttling
from orion_site.accounts.authentication import LocalOwnerAuthentication
from orion_site.accounts.permissions import Actor
from orion_site.env import database_from_url
from orionflow.contract.masking import known
from tests import warm
from tests.homes import ready_database
from tests.postgresql import ready_postgresql, running_postgresql
from tests.rounds import (
    examples,
    has_nothing_for,
    is_file_of_the_other_database,
    is_left_to_a_neighbour,
    is_left_to_the_other_database,
)

profiles.register_profile("orion", examples(4, 400))
profiles.load_profile("orion")
DATABASE = os.environ.get("ORION_TEST_DATABASE", "sqlite")
# With one of them, tests rewrite the files that they otherwise compare with.
RENEWALS = ("UPDATE_CONTRACT", "UPDATE_QUERY_COUNTS")


def pytest_configure(config: pytest.Config) -> None:
    _restore_signals()
    if DATABASE not in {"sqlite", "postgresql"}:
        raise pytest.UsageError(f"ORION_TEST_DATABASE={DATABASE!r} is unknown; use sqlite or postgresql.")
    renewals = [name for name in RENEWALS if os.environ.get(name)]
    if renewals and config.getoption("numprocesses", None):
        raise pytest.UsageError(f"{renewals[0]} writes files that other workers read and write; run pytest without -n.")


def _restore_signals() -> None:
    # Shells start background programs with Ctrl-C ignored, nohup with SIGHUP; programs under test would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish(session: pytest.Session) -> None:
    if not is_about_the_core(session):
        load_everything()
        if session.config.getoption("side_by_side"):
            load_pages()
            warm.start_launchers()
        if not session.config.option.collectonly:
            make_database(is_for_many=session.config.getoption("side_by_side"))
    # Each full search for garbage during the tests would take half a second. Tests make little of it: to search a tenth
    # as often leaves a third of the time that it takes.
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even load what a brief round leaves out, or to the other database; what is named is loaded."""
    if "not long" not in config.option.markexpr or not collection_path.is_relative_to(config.rootpath):
        return None
    if is_file_of_the_other_database(collection_path.relative_to(config.rootpath).as_posix()):
        return True
    is_file_of_tests = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return (is_file_of_tests and has_nothing_for(config.option.markexpr, collection_path.read_text("utf-8"))) or None


# What pytest-django sets up and tears down around every test for the sake of few, which a third of an empty test's time
# goes into; and the markers and fixtures by which a test asks for it.
FIXTURES_FOR_FEW = {
    "_dj_autoclear_mailbox",
    "_django_clear_site_cache",
    "_django_isolate_apps",
    "_django_set_urlconf",
    "_live_server_helper",
    "_template_string_if_invalid_marker",
}
OPTIONAL_FIXTURES = {"django_isolate_apps", "ignore_template_errors", "live_server", "mailoutbox", "urls"}


def leave_out_what_it_does_not_ask_for(item: pytest.Item) -> None:
    names: list[str] = getattr(item, "fixturenames", [])
    if OPTIONAL_FIXTURES.isdisjoint({*names, *(mark.name for mark in item.iter_markers())}):
        # Cases of one test share the list.
        names[:] = [name for name in names if name not in FIXTURES_FOR_FEW]


def pytest_itemcollected(item: pytest.Item) -> None:
    leave_out_what_it_does_not_ask_for(item)
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("generative")
    if is_left_to_the_other_database(item) or is_left_to_a_neighbour(item):
        item.add_marker("long")


def pytest_report_header() -> str:
    return f"orion: tests on {DATABASE}"


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL server of this session alone."""
    with running_postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def ready_postgresql_url() -> Iterator[str]:
    """Another one, whose database has all tables."""
    with running_postgresql(ready=True) as url:
        yield url


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Point Django at the database that the session is about, before pytest-django creates the test database."""
    if DATABASE == "sqlite":
        shutil.copyfile(ready_database(), os.environ["ORION_TEST_SQLITE"])
        return
    ready = database_from_url(request.getfixturevalue("ready_postgresql_url"))
    del connections["default"]
    connections.settings = connections.configure_settings({"default": {**ready, "TEST": {"NAME": ready["NAME"]}}})


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Take the copied database as it is; it goes with its home, or its server."""
    return True


def is_about_the_core(session: pytest.Session) -> bool:
    """Whether only pure modules are tested, which need neither operations nor a database."""
    return all(item.nodeid.startswith("tests/core/") for item in session.items)


def empty_tables_past_their_triggers(patch: pytest.MonkeyPatch) -> None:
    """Empty tables after a test although the audit log refuses it: its entries stay, whoever asks."""
    if DATABASE == "sqlite":
        return
    from django.db.backends.postgresql.operations import DatabaseOperations

    emptied = DatabaseOperations.execute_sql_flush

    def execute(self: DatabaseOperations, sql_list: list[str]) -> None:
        emptied(self, ["SET LOCAL session_replication_role = replica", *sql_list])

    patch.setattr(DatabaseOperations, "execute_sql_flush", execute)


def load_everything() -> None:
    """Load all operations before any test replaces a name: a module imported meanwhile would keep the replacement."""
    openapi = import_module("orion_site.openapi.document")
    for _ in openapi.operations():
        pass


def make_database(*, is_for_many: bool) -> None:
    """Make the database that tests get copies of before the first test, to whose time it would count.

    A few tests on SQLite may need none.
    """
    if DATABASE == "postgresql":
        ready_postgresql()
    elif is_for_many:
        ready_database()


def load_pages() -> None:
    """Read all addresses and templates once for several processes, each of which would do so at its first page."""
    reverse("home")
    templates = Path(settings.TEMPLATES[0]["DIRS"][0])
    for file in templates.rglob("*.html"):
        get_template(file.relative_to(templates).as_posix())


# `migrate` creates their rows, and no test changes them.
MADE_BY_UPGRADES = {"django_content_type", "auth_permission"}


def sql_of_tables_with_rows(
    style: Any, connection: Any, reset_sequences: bool = True, allow_cascade: bool = False
) -> Any:
    """Return the statements that empty the tables; all tables of Orion are a hundred with their indexes."""
    names = set(connection.introspection.django_table_names(include_views=False)) - MADE_BY_UPGRADES
    quoted = {name: connection.ops.quote_name(name) for name in sorted(names)}
    with connection.cursor() as cursor:
        asked = [f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {table})" for name, table in quoted.items()]
        cursor.execute(" UNION ALL ".join(asked))
        filled = [name for (name,) in cursor.fetchall()]
    # The tables that refer to them are empty, but PostgreSQL requires CASCADE all the same.
    is_cascade = connection.vendor == "postgresql"
    return connection.ops.sql_flush(style, filled, reset_sequences=reset_sequences, allow_cascade=is_cascade)


def empty_only_what_tests_have_filled(patch: pytest.MonkeyPatch) -> None:
    """Leave other tables, and what upgrades install, as they are: to make it all again costs more than most tests."""
    flush = import_module("django.core.management.commands.flush")
    patch.setattr(flush, "sql_flush", sql_of_tables_with_rows)
    patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **more: None)


# How long the product works, waits or trusts a value. Tests would depend on the machine's speed; a test about such a
# limit sets its own.
LIMITS = (
    "deployments.definitions.core.schema_work.DEADLINE_SECONDS",
    "deployments.pages.archive.PATIENCE_SECONDS",
    "deployments.upkeep.current_settings.KEPT_SECONDS",
    "events.automations.services.evaluation.BATCH_SECONDS",
    "events.automations.services.evaluation.TICK_SECONDS",
    "events.notifications.services.notifications.SECONDS_PER_PASS",
    "orion_site.accounts.guard.OPEN_SECONDS",
    "runs.bulk_actions.services.PATIENCE_SECONDS",
    "runs.bulk_actions.services.STEP_SECONDS",
    "runs.bulk_actions.services.TICK_SECONDS",
)


def take_all_the_time_that_it_needs(is_core: bool) -> None:
    for name in LIMITS:
        if ".core." not in name and is_core:
            continue
        module, constant = name.rsplit(".", 1)
        assert hasattr(import_module(module), constant), name
        setattr(import_module(module), constant, 3600.0)


@pytest.fixture(scope="session", autouse=True)
def session_of_tests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Prepare what holds in every test: in one fixture, as each that is used everywhere costs every test."""
    is_core = is_about_the_core(request.session)
    take_all_the_time_that_it_needs(is_core)
    with pytest.MonkeyPatch.context() as patch:
        empty_tables_past_their_triggers(patch)
        empty_only_what_tests_have_filled(patch)
        yield


@pytest.fixture(autouse=True)
def other_tests_are_forgotten() -> Iterator[None]:
    """The guard believes for two seconds that there are users, and a process masks whatever secret it has met."""
    from deployments.blocks.services import known_secrets
    from orion_site.accounts import guard, recognised

    guard._open_until = 0.0
    current_settings.forget()
    throttling.requests.forget()
    throttling.guesses.forget()
    throttling.good_keys.forget()
    recognised.keys.forget()
    yield
    known.forget()
    known_secrets._seen = (0, None)


@pytest.fixture
def statistics_of_its_own(db: None) -> Iterator[None]:
    """Let the planner of SQLite know nothing of the rows of other tests, which went, nor others anything of these."""
    forget_statistics()
    yield
    forget_statistics()


def forget_statistics() -> None:
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_master WHERE name IN ('sqlite_stat1', 'sqlite_stat4')")
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")
        # Make SQLite read the statistics again.
        cursor.execute("ANALYZE sqlite_schema")


@pytest.fixture(scope="session")
def ready_kit() -> None:
    """The kit's empty database is a copy as well, rather than migrated in each process."""
    import_module("orion_site.isolation")._pattern = ready_database()


@pytest.fixture
def act_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[Actor], None]:
    """Let all requests of this test come from an actor: `act_as(stranger)`."""
    return lambda actor: monkeypatch.setattr(
        LocalOwnerAuthentication, "authenticate", lambda self, request: (actor, None)
    )
