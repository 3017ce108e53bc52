"""Resources described as data, and the commands that all of them have: list, show, change and delete.

A resource names its calls, and how one object is named, looked up and shown in a table. Commands are created from it
with their help, their examples and their special features; other commands are functions with the decorator `command`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from orionflow.calls import Call, Collection
from orionflow.calls.slots import read_holders
from orionflow.cli.backend import Json
from orionflow.cli.columns import Columns, columns_for
from orionflow.cli.command import OrionCommand
from orionflow.cli.lookup import by_name
from orionflow.cli.output import Column
from orionflow.cli.run_tables import show_holders
from orionflow.cli.session import (
    DRY_RUN,
    FORCE,
    YES,
    Example,
    Session,
    ask_before,
    limit_option,
    make_command,
)

Options = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind of object of the API."""

    # The name in sentences, such as "work pool".
    kind: str
    # The calls that read, list, change and delete it.
    calls: Collection[Any]
    # The columns of its table; a function if the columns depend on the rows, such as on names for their ids.
    columns: Columns | Callable[[Session, Sequence[Json]], Columns]
    # The placeholder of its name in help.
    metavar: str = "NAME"
    # The field with its name, which -o name prints.
    key: str = "name"
    # Looks one up; by default it is found by the key in its path.
    find: Callable[[Session, str], Json] | None = None
    # Returns the name of one in sentences; by default its key.
    title: Callable[[Json], str] | None = None
    # Returns the names of several in sentences, by their ids, if that needs a request.
    titles: Callable[[Session, Sequence[Json]], dict[str, str]] | None = None
    # Whether its table contains times, so that commands accept --tz and --utc.
    times: bool = True
    # Whether programs get a changed object as a list with one element.
    changed_as_list: bool = True

    def found(self, session: Session, wanted: str) -> Json:
        """Look one up; exit 5 if it does not exist."""
        if self.find:
            return self.find(session, wanted)
        call = self.calls.read(wanted)
        return by_name(session.api, call, self.kind, wanted, self.calls, key=self.key)

    def each_found(self, session: Session, names: Iterable[str]) -> list[Json]:
        """Look up several, each once."""
        return list({one["id"]: one for one in (self.found(session, name) for name in names)}.values())

    def titles_of(self, session: Session, rows: Sequence[Json]) -> list[str]:
        """Return their names in sentences."""
        if self.titles:
            names = self.titles(session, rows)
            return [names[one["id"]] for one in rows]
        return [self.title(one) if self.title else str(one[self.key]) for one in rows]

    def show(self, session: Session, rows: Sequence[Json], empty: str = "") -> None:
        """Show several in the resource's table."""
        session.show_list(rows, self._columns(session, rows), empty=empty, name=self.key)

    def _columns(self, session: Session, rows: Sequence[Json]) -> Columns:
        return self.columns(session, rows) if callable(self.columns) else self.columns

    def titled(self, session: Session, one: Json) -> list[Column]:
        """Return the columns of its table as the fields of one object."""
        return [
            Column(column.title.lower(), column.text)
            for column in columns_for(session.clock, self._columns(session, [one]))
        ]

    def _argument(self, *, many: bool = False) -> click.Argument:
        if many:
            return click.Argument(["names"], metavar=f"{self.metavar}...", nargs=-1, required=True)
        # A single name is passed as a tuple too, so that commands need not distinguish the two cases.
        return click.Argument(["names"], metavar=self.metavar, nargs=1, callback=lambda _c, _p, value: (value,))

    def ls(
        self, help: str, *examples: Example, empty: str, limit: int = 200, params: Sequence[click.Parameter] = (),
        more_params: Sequence[click.Parameter] = (),
        rows: Callable[[Session, Options, int], Iterable[Json]] | None = None,
        narrow: Callable[[Session, Options], Json] | None = None,
    ) -> OrionCommand:  # fmt: skip
        """Return the command that lists objects; `narrow` returns the filter for its options, `rows` the objects."""

        def ls(session: Session, limit: int, **options: Any) -> None:
            if rows:
                found = list(rows(session, options, limit))
            else:
                body = narrow(session, options) if narrow else {}
                found = list(session.api.pages(self.calls, body, limit))
            self.show(session, found, empty)

        return make_command(ls, [*params, limit_option(limit), *more_params], examples, help=help, times=self.times)

    def inspect(
        self, help: str, *examples: Example, fields: Columns | Callable[[Session, Json], Columns] | None = None,
        below: Callable[[Session, Json], None] | None = None, times: bool | None = None, plain: bool = False,
    ) -> OrionCommand:  # fmt: skip
        """Return the command that shows one object: its fields, and further details for users below them.

        With `plain`, programs get every field of the API's object as a column instead of the columns for users.
        """

        def inspect(session: Session, names: tuple[str]) -> None:
            found = self.found(session, names[0])
            if plain and not session.for_people:
                session.show_one(found, name=self.key)
                return
            shown = fields or self.titled
            shown = shown(session, found) if callable(shown) else shown
            session.show_one(found, shown, name=self.key)
            if below and session.for_people and not session.output.columns:
                below(session, found)

        times = self.times if times is None else times
        return make_command(inspect, [self._argument()], examples, help=help, times=times)

    def change(
        self, help: str, *examples: Example, done: str, changes: Json | Callable[[Options], Json] | None = None,
        call: Callable[[str], Call[Any]] | None = None, many: bool = False, sure: str = "",
        params: Sequence[click.Parameter] = (),
    ) -> OrionCommand:  # fmt: skip
        """Return a command that changes fields, or that uses a call of its own.

        `done` completes the sentence about it, and may contain its parameters; `sure` is the question to the user
        before it.
        """

        def change(session: Session, names: Sequence[str], yes: bool = False, **options: Any) -> None:
            if sure:
                ask_before(sure.format(*names), yes=yes)
            wanted = (changes(options) if callable(changes) else changes) or {}
            found = self.each_found(session, names)
            titles = self.titles_of(session, found) if session.for_people else [""] * len(found)
            for one, title in zip(found, titles, strict=True):
                key = one[self.calls.key]
                session.api.ask(call(key) if call else self.calls.update(key, wanted))
                if session.for_people:
                    session.announce(f"{title} {done.format(**options)}.")
            if not session.for_people:
                self._show_changed(session, [session.api.ask(self.calls.read(one[self.calls.key])) for one in found])

        params = [self._argument(many=many), *params, *([YES] if sure else [])]
        return make_command(change, params, examples, help=help, times=self.times)

    def held(
        self, help: str, *examples: Example, side: Literal["holders", "waiters"], nobody: str,
        below: Callable[[Session, Json], None] | None = None,
    ) -> OrionCommand:  # fmt: skip
        """Return the command that shows the runs that hold slots of one object, or that wait for a slot."""

        def held(session: Session, names: tuple[str]) -> None:
            found = session.api.ask(read_holders(self.calls, self.found(session, names[0])[self.calls.key]))
            show_holders(session, found[side], nobody.format(names[0]))
            if below and session.for_people:
                below(session, found)

        return make_command(held, [self._argument()], examples, help=help, name=side, times=True)

    def _show_changed(self, session: Session, rows: Sequence[Json]) -> None:
        if self.changed_as_list:
            self.show(session, rows)
        else:
            session.show_one(rows[0], name=self.key)

    def delete(
        self, help: str, *examples: Example, what: str = "{}", forced: bool = False, many: bool = False,
        dry_run_shows: bool = False, can_dry_run: bool = True, as_list: bool = False,
    ) -> OrionCommand:  # fmt: skip
        """Return the command that deletes; `what` names one in the question, and --force is passed on if allowed."""

        def delete(
            session: Session, names: Sequence[str], yes: bool, dry_run: bool = False, force: bool = False
        ) -> None:
            found = self.each_found(session, names)
            listed = what.format(", ".join(self.titles_of(session, found)))
            if dry_run:
                session.note(f"Would delete {listed}.")
                if dry_run_shows:
                    self.show(session, found)
                return
            ask_before(f"delete {listed}", yes=yes)
            forcing = {"force": str(force).lower()} if forced else {}
            for one in found:
                session.api.ask(self.calls.delete(one[self.calls.key], **forcing))
            session.note(f"Deleted {listed}.")
            if not session.for_people:
                if many or as_list:
                    self.show(session, found)
                else:
                    session.show_one(found[0], name=self.key)

        params = [self._argument(many=many), *([FORCE] if forced else []), YES, *([DRY_RUN] if can_dry_run else [])]
        return make_command(delete, params, examples, help=help, times=self.times and (many or as_list))
