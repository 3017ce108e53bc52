"""Rights on named objects: which rows an actor with such rights sees, and whether the object in an address is visible.

For such a request, each SELECT reads the tables under their own names, but reduced to the visible rows: it starts with
`WITH "runs_flowrun" AS (SELECT * FROM main."runs_flowrun" WHERE …)`. So lists, counts, joins and raw SQL are reduced
alike. Statements of actors with rights on all objects are not changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import Http404, HttpRequest
from django.utils.module_loading import autodiscover_modules
from rest_framework.request import Request

from orchestration.sight import (
    Condition,
    Reach,
    addressed,
    belongings,
    current_sight,
    nothing,
    reaching,
    seeing,
    shared_tables,
)
from orchestration.tables import dialect, fetch
from orion_site.accounts.permissions import Action, Actor, RoleRefused, answer_to, may, may_in_part, who_asks

# Actions that need no role.
EVERYBODYS = frozenset({Action.ANYBODY, Action.PROBE, Action.KEEP_KEYS})
# Matches the start of a statement that reads rows.
READS = re.compile(r"[\s(]*(?:SELECT\b|(?P<with>WITH)\s+(?P<recursive>RECURSIVE\s+)?)", re.I)
# The apps whose tables all define to which objects their rows belong.
OWNED_APPS = ("runs", "deployments", "events")


class NamedSight:
    """The rows that an actor sees or may change by rights on named objects, for a request or a websocket's query."""

    def __init__(self, names: Mapping[str, set[str]], *, reading: bool) -> None:
        self._names, self._reading = names, reading

    @cached_property
    def reach(self) -> Reach:
        _discover()
        # In the whole tables: a statement that is reduced would ask for this again.
        with seeing(None):
            return reaching[0](self._names, reading=self._reading)

    @property
    def of_results(self) -> NamedSight | None:
        if (runs := self._names.get("run")) is None:
            return self
        from orion_site.accounts.sight_of_runs import sight_of_author

        # The token of a run shows only this run, but results serve all runs that its author may see.
        (run_id,) = runs
        with seeing(None):
            return sight_of_author(UUID(run_id), frozenset({Action.READ_RUNS}))

    def only_seen(self, sql: str, *, has_params: bool) -> str:
        reads = READS.match(sql)
        # The name of a table within a literal only adds an expression that is not used.
        named = set(_tables().findall(sql)) if reads else set()
        parts = [self.cut(table) for table in sorted(named)] if reads else []
        cut = ", ".join(part for part in parts if part)
        if not reads or not cut:
            return sql
        if has_params:
            # Conditions contain values as literals, and with parameters the driver reads % as a placeholder.
            cut = cut.replace("%", "%%")
        if reads["with"] is None:
            return f"WITH {cut} {sql}"
        return f"WITH {reads['recursive'] or ''}{cut}, {sql[reads.end() :]}"

    def condition(self, table: str, row: str) -> str:
        return _condition_of(table)(self.reach, row)

    def judges_address(self, table: str | None) -> bool:
        """Whether an object of this table must be visible even if the action is allowed on all objects."""
        return False

    def cut(self, table: str) -> str:
        """Return the CTE with the visible rows of the table; empty if all rows are visible."""
        rows = self.reach.table(table)
        # NOT MATERIALIZED: the statement's own conditions reach the indexes of the table, however often it is named.
        return f'"{table}" AS NOT MATERIALIZED (SELECT * FROM {rows} o WHERE {self.condition(table, "o")})'


def sight_of(actor: Actor, *actions: Action | None, route: str = "") -> NamedSight | None:
    """Return what an actor sees or may change by these actions; None for everything.

    The route of a request decides whether a run sees the object that the address names.
    """
    wanted = {one for one in actions if one is not None}
    if wanted & EVERYBODYS:
        # Such requests show only what the actor may read anyway.
        wanted = {Action.READ_RUNS}
    if wanted & actor.actions:
        if actor.run_id is None:
            return None
        from orion_site.accounts.sight_of_runs import SightOfRun

        return SightOfRun(actor.run_id, frozenset(wanted), route)
    names: dict[str, set[str]] = defaultdict(set)
    for one in actor.objects:
        if wanted & one.actions:
            names[one.kind].add(one.name)
    return NamedSight(names, reading=all(action.is_reading for action in wanted))


def why_refused(user_id: int, action: str, table: str | None, row: UUID | None) -> str:
    """Return why a user may not do the action to a row, or, without a row, at all; empty if it is allowed."""
    from django.contrib.auth.models import User

    from orion_site.accounts.users import actor_of_user

    user = User.objects.filter(pk=user_id).first()
    if user is None:
        return "the user was deleted."
    if not user.is_active:
        return f"the user {user.get_username()} is disabled."
    actor, wanted = actor_of_user(user)[0], Action(action)
    if may(actor, wanted) or (may_in_part(actor, wanted) and (table is None or _sees(actor, wanted, table, row))):
        return ""
    return f"the roles of {actor.name} do not allow it ({action})."


@contextmanager
def acting_narrowly(user_id: int, actions: Sequence[str]) -> Iterator[None]:
    """Act as a user who has only the rights to these actions, and sees only the objects of these."""
    from django.contrib.auth.models import User

    from orion_site.accounts.users import actor_of_user

    wanted = frozenset(map(Action, actions))
    whole = actor_of_user(User.objects.get(pk=user_id))[0]
    objects = tuple(replace(one, actions=one.actions & wanted) for one in whole.objects)
    actor, before = replace(whole, actions=whole.actions & wanted, objects=objects), (who_asks(), current_sight.get())
    answer_to(actor, None if actor.actions else sight_of(actor, *wanted))
    try:
        yield
    finally:
        answer_to(*before)


def refused_among(user_id: int, action: str, table: str, rows: Sequence[UUID]) -> set[UUID]:
    """Return the rows to which a user with rights on named objects may not do the action."""
    from django.contrib.auth.models import User

    from orion_site.accounts.users import actor_of_user

    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return {*rows}
    actor, wanted = actor_of_user(user)[0], Action(action)
    if may(actor, wanted):
        return set()
    with seeing(sight_of(actor, wanted)):
        seen = fetch(f'SELECT id FROM "{table}" WHERE id IN ', rows)  # noqa: S608 (a constant)
    return {*rows} - {dialect().read_uuid(row) for (row,) in seen}


# Conditions on the user stand in the join, so that authors who were deleted or disabled are rows too, and are refused.
_AUTHORS = """
SELECT a.author, u.username, u.is_superuser, g.role, g.kind, g.name
FROM (SELECT DISTINCT author FROM {table} WHERE author IS NOT NULL) a
LEFT JOIN auth_user u ON u.id = a.author AND u.is_active
LEFT JOIN auth_user_groups m ON m.user_id = u.id
LEFT JOIN accounts_grant g ON g.group_id = m.group_id
"""


def refused_rows(action: str, table: str) -> list[UUID]:
    """Return the rows of a table to which their authors may not do the action."""
    from orion_site.accounts.roles import Held, actions_of, objects_of

    wanted = Action(action)
    with seeing(None), connection.cursor() as cursor:
        cursor.execute(_AUTHORS.format(table=table))
        rows = cursor.fetchall()
        refused: list[UUID] = []
        for author, held in groupby(sorted(rows, key=itemgetter(0)), key=itemgetter(0)):
            own = list(held)
            _, name, is_superuser, *_ = own[0]
            roles = [Held(*row[3:]) for row in own if row[3]]
            actor = Actor(name or "", actions_of(roles, is_superuser=bool(is_superuser)), objects=objects_of(roles))
            if name is not None and may(actor, wanted):
                continue
            in_part = name is not None and may_in_part(actor, wanted)
            sight = sight_of(actor, wanted) if in_part else None
            seen = f" AND NOT ({sight.condition(table, 'o').replace('%', '%%')})" if sight else ""
            cursor.execute(f"SELECT o.id FROM {table} o WHERE o.author = %s{seen}", [author])  # noqa: S608 (no values)
            refused += [dialect().read_uuid(row[0]) for row in cursor.fetchall()]
    return refused


def _sees(actor: Actor, action: Action, table: str, row: UUID | None) -> bool:
    with seeing(sight_of(actor, action)):
        return len(fetch(f'SELECT id FROM "{table}" WHERE id IN ', [row] if row else [])) == 1  # noqa: S608 (a constant)


def may_in_sight(request: HttpRequest | Request, *actions: Action | None, by_sight: bool = False) -> bool:
    """Whether an actor with rights on named objects may do one of these actions; from now on it sees only its objects.

    Reading needs no more. A change must name an object in its address, unless it finds by reading what it changes
    (`by_sight`). Raises Http404 for an object that is not visible, and RoleRefused for one that is.
    """
    actor = who_asks()
    assert actor is not None
    sight = sight_of(actor, *actions, route=request.resolver_match.route if request.resolver_match else "")
    answer_to(actor, sight)
    if any(may(actor, action) for action in actions):
        # Within a transaction everything is visible, so the changed object is checked here.
        if sight is not None and sight.judges_address(table_of(request)) and not _is_in_sight(request, sight):
            raise Http404
        return True
    if sight is None or not any(may_in_part(actor, action) for action in actions):
        return False
    is_reading = all(action.is_reading for action in actions if action is not None)
    if not is_reading and table_of(request) in shared_tables:
        raise RoleRefused(ON_NO_OBJECT)
    is_named = _is_in_sight(request, sight)
    if is_named is False:
        raise RoleRefused(ON_OTHERS) if _is_in_sight(request, sight_of(actor, Action.READ_RUNS)) else Http404
    if is_reading or is_named or by_sight:
        return True
    raise RoleRefused(ON_NO_OBJECT)


def is_in_sight_of(request: HttpRequest | Request, *actions: Action | None) -> bool:
    """Whether the present actor may do one of these actions to the object that the address names."""
    actor = who_asks()
    assert actor is not None
    return bool(_is_in_sight(request, sight_of(actor, *actions)))


ON_OTHERS = "Your role allows this for other objects than this one."
ON_NO_OBJECT = "Your role covers only named objects; this needs a role that covers all of them."


def address_of(route: str) -> str:
    """Return an address up to the first part that varies: `api/flow_runs/<id>`."""
    found = re.match(r"([^<]*)<(?:\w+:)?(\w+)>", route)
    return f"{found[1]}<{found[2]}>" if found else ""


def table_of(request: HttpRequest | Request) -> str | None:
    """Return the table of the object that the address names."""
    _discover()
    match = request.resolver_match
    return addressed.get(address_of(match.route), (None, ""))[0] if match else None


def _is_in_sight(request: HttpRequest | Request, sight: NamedSight | None) -> bool | None:
    """Whether the object that the address names exists and is visible; None if the address names none."""
    match = request.resolver_match
    _discover()
    if match is None or (found := addressed.get(address_of(match.route))) is None:
        return None
    (table, column), value = found, next(iter(match.kwargs.values()))
    if column == "id":
        try:
            value = UUID(str(value))
        except ValueError:
            return False
        # This statement is not converted by Django, and SQLite stores ids as bytes.
        value = value.bytes if connection.vendor == "sqlite" else value
    with seeing(sight), connection.cursor() as cursor:
        cursor.execute(f'SELECT 1 FROM "{table}" WHERE {column} = %s', [value])  # noqa: S608 (names are constants)
        return cursor.fetchone() is not None


def _condition_of(table: str) -> Condition:
    _discover()
    return belongings.get(table, nothing)


_is_discovered = False


def _discover() -> None:
    global _is_discovered
    if not _is_discovered:
        autodiscover_modules("belongings")
        _is_discovered = True


def owned_tables() -> set[str]:
    models = (model for app in OWNED_APPS for model in apps.get_app_config(app).get_models(include_auto_created=True))
    return {model._meta.db_table for model in models}


_pattern: re.Pattern[str] | None = None


def _tables() -> re.Pattern[str]:
    global _pattern
    if _pattern is None:
        _pattern = re.compile(rf"\b(?:{'|'.join(sorted(owned_tables()))})\b")
    return _pattern


def _show_only_seen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    sight = current_sight.get()
    if sight is not None:
        sql = sight.only_seen(sql, has_params=params is not None)
    return execute(sql, params, many, context)


def _watch(connection: Any, **_: Any) -> None:
    if _show_only_seen not in connection.execute_wrappers:
        connection.execute_wrappers.append(_show_only_seen)


def watch_connections() -> None:
    """Make every connection reduce its statements to what is visible."""
    connection_created.connect(_watch, dispatch_uid="orion-sight")
