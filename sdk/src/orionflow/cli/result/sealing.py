"""`orion result seal`: pickles from before seals existed, which programs refuse to read until they are sealed."""

from __future__ import annotations

from pathlib import Path

import click

from orionflow.cli.columns import Col
from orionflow.cli.errors import CommandFailed, ExitCode
from orionflow.cli.session import Session, ask_before, command, destructive

_COLUMNS = (Col("KEY", "key"), Col("SERIALIZER", "serializer_type"), Col("SIZE", "size"))


@command(
    ("orion result seal --dry-run", "what has no seal in the usual folder?"),
    ("orion result seal --yes", "trust all of it"),
    ("orion result seal /data/results", "a folder that flows name as result_storage"),
)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@destructive
def seal(session: Session, folder: Path | None, yes: bool, dry_run: bool) -> None:
    """Seal the pickles in a folder that were stored before results were sealed.

    Seal only what your own programs wrote: reading a pickle runs what its writer put there, and a seal says that you
    trust it. Without a FOLDER: the one of ORION_RESULTS_PATH, or `results` in the home.
    """
    from orionflow.results import LocalFileSystem
    from orionflow.results.resealing import seal_in, unsealed_in

    store = LocalFileSystem(folder)
    if not store.basepath.is_dir():
        raise CommandFailed(ExitCode.NOT_FOUND, f"There is no folder {store.basepath}.")
    found = sorted(unsealed_in(store), key=lambda one: one.key)
    rows = [{"key": one.key, "serializer_type": one.kind, "size": one.size} for one in found]
    where = f"in {store.basepath}"
    if found and not dry_run:
        ask_before(f"trust {len(found)} pickles {where} and seal them", yes=yes)
        for one in found:
            seal_in(store, one)
    session.show_list(rows, _COLUMNS, empty=f"Every pickle {where} is sealed.", name="key")
    if found and session.for_people:
        session.note(f"{'Would seal' if dry_run else 'Sealed'} {len(found)} {where}.")
