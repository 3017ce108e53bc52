"""Resources described as data, and the commands that all of them have: list, show, change and delete.

A resource says which calls it has, how one of it is named and looked up, and how it looks in a table. Commands are made
of it with their help, their examples and what is particular about them; what fits none of these is a function of its
own below `command`.
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
    """One kind of thing that the API has."""

    # As sentences name it, such as "work pool".
    kind: str
    # The calls that read, list, change and delete it.
    calls: Collection[Any]
    # Its table; a function where the columns depend on the rows, such as on names behind their ids.
    columns: Columns | Callable[[Session, Sequence[Json]], Columns]
    # How help names one of it.
    metavar: str = "NAME"
    # The field that names it, which -o name prints.
    key: str = "name"
    # Looks one up; without it, by what stands in its path.
    find: Callable[[Session, str], Json] | None = None
    # How sentences name one; without it, by its key.
    title: Callable[[Json], str] | None = None
    # How sentences name several, by their ids, where that takes a request.
    titles: Callable[[Session, Sequence[Json]], dict[str, str]] | None = None
    # Whether its table shows times, so that commands take --tz and --utc.
    times: bool = True
    # Whether one that was changed is shown to programs as a list of one.
    changed_as_list: bool = True

    def found(self, session: Session, wanted: str) -> Json:
        """Look one up; exit 5 if there is none."""
        if self.find:
            return self.find(session, wanted)
        call = self.calls.read(wanted)
        return by_name(session.api, call, self.kind, wanted, self.calls, key=self.key)

    def each_found(self, session: Session, names: Iterable[str]) -> list[Json]:
        """Look up several, each once."""
        return list({one["id"]: one for one in (self.found(session, name) for name in names)}.values())

    def titles_of(self, session: Session, rows: Sequence[Json]) -> list[str]:
        """Name them as sentences do."""
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
        """Return the columns of its table as the fields of one."""
        return [
            Column(column.title.lower(), column.text)
            for column in columns_for(session.clock, self._columns(session, [one]))
        ]

    def _argument(self, *, many: bool = False) -> click.Argument:
        if many:
            return click.Argument(["names"], metavar=f"{self.metavar}...", nargs=-1, required=True)
        # One name comes as a tuple, as several do, so that commands need not know which of the two it is.
        return click.Argument(["names"], metavar=self.metavar, nargs=1, callback=lambda _c, _p, value: (value,))

    def ls(
        self, help: str, *examples: Example, empty: str, limit: int = 200, params: Sequence[click.Parameter] = (),
        more_params: Sequence[click.Parameter] = (),
        rows: Callable[[Session, Options, int], Iterable[Json]] | None = None,
        narrow: Callable[[Session, Options], Json] | None = None,
    ) -> OrionCommand:  # fmt: skip
        """Make the command that lists them; `narrow` makes the filter of the options, `rows` asks in its own way."""

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
        """Make the command that shows one: its fields, and what else a person sees below them.

        With `plain`, programs get every field of the API's object as a column, and not those that people see.
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
        """Make a command that changes fields, or that has a call of its own.

        `done` ends the sentence about it, and may name its parameters; `sure` is what a person is asked about before.
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
                    session.say(f"{title} {done.format(**options)}.")
            if not session.for_people:
                self._show_changed(session, [session.api.ask(self.calls.read(one[self.calls.key])) for one in found])

        params = [self._argument(many=many), *params, *([YES] if sure else [])]
        return make_command(change, params, examples, help=help, times=self.times)

    def held(
        self, help: str, *examples: Example, side: Literal["holders", "waiters"], nobody: str,
        below: Callable[[Session, Json], None] | None = None,
    ) -> OrionCommand:  # fmt: skip
        """Make the command that shows the runs that hold slots of one, or that wait for one."""

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
        """Make the command that deletes; `what` names one in the question, and --force goes along where it may."""

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
