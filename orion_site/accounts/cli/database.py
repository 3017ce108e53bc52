"""The database for commands on accounts; errors of services become failures of the command."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime

from orion_site.database.commands import django_ready
from orionflow.cli.errors import CommandFailed, ExitCode


@contextmanager
def accounts_ready(operation: str = "") -> Iterator[None]:
    """Prepare the database of this machine's server, and create it if there is none yet.

    Changes are recorded in the audit log under the name of the operation and of the Unix user.
    """
    with django_ready():
        from orchestration.acts import act_of
        from orchestration.errors import Conflict, DomainError, NotFound
        from orion_site.database.lifecycle import prepare

        prepare()
        recorded = act_of(entrance="cli", actor=_unix_user(), action="users.manage", operation=operation)
        try:
            with recorded if operation else nullcontext():
                yield
        except NotFound as error:
            raise CommandFailed(ExitCode.NOT_FOUND, str(error)) from error
        except Conflict as error:
            raise CommandFailed(ExitCode.CONFLICT, str(error)) from error
        except DomainError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from error


def _unix_user() -> str:
    try:
        return f"unix user {getpass.getuser()}"
    except (OSError, KeyError):
        return "unix user"


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
