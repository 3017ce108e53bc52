"""The database for commands on accounts: at hand, up to date, and what services refuse as failures of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from orion_site.database.commands import django_ready
from orionflow.cli.errors import CommandFailed, ExitCode


@contextmanager
def accounts_ready() -> Iterator[None]:
    """Have the database of this machine's server ready; it is made where there is none yet."""
    with django_ready():
        from orchestration.errors import Conflict, DomainError, NotFound
        from orion_site.database.lifecycle import prepare

        prepare()
        try:
            yield
        except NotFound as error:
            raise CommandFailed(ExitCode.NOT_FOUND, str(error)) from error
        except Conflict as error:
            raise CommandFailed(ExitCode.CONFLICT, str(error)) from error
        except DomainError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from error


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
