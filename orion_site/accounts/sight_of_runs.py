"""The sight of a run's process, which looks up objects by name with its token.

Names do not belong to a run, so rights on the run alone would show none of them. But with its token, code must not
reach more than its author could: a deployer of one deployment cannot see or start others through its runs. Where other
users decided how the code is executed, it reaches only what all of them could.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, reduce
from uuid import UUID

from deployments.definitions.responsible import responsible_for
from orchestration.sight import seeing
from orion_site.accounts.objects import NamedSight
from orion_site.accounts.permissions import OF_OBJECTS, Action, Actor, OnObject

# Tables with data of runs: a run sees its own rows.
OF_RUNS = re.compile(r"runs_(?!flow\b)|events_|deployments_(?:backfill|backfilltime|deadline|lease|slot|globalslot)\b")
# Tables of which a run sees what the author of its deployment sees, or may start.
DEPLOYMENTS = "deployments_deployment"
OF_AUTHORS = frozenset(
    {
        DEPLOYMENTS,
        "deployments_schedule",
        "deployments_skippedtime",
        "deployments_workqueue",
        "deployments_workpool",
    }
)

# Objects that code looks up by name. Their lists are only for runs of authors who may read all of them.
BY_NAME = {"deployments_variable": Action.READ_VARIABLES, "deployments_blockdocument": Action.READ_BLOCKS}
NAMES_ONE = re.compile(r"(?:variables|block_documents|blocks)/(?:name/)?<")


class SightOfRun(NamedSight):
    """Runs: its own; deployments and queues: those of the author; everything else: all.

    An author with rights on named objects only cannot list variables and blocks, and so neither can its runs: they read
    those that they name.
    """

    def __init__(self, run_id: UUID, wanted: frozenset[Action], route: str) -> None:
        # Also the runs that it started, so that a repeated request finds the same run.
        super().__init__({"run": {str(run_id)}, "started-by-run": {str(run_id)}}, reading=True)
        self._run_id, self._wanted = run_id, wanted
        self._names_one = NAMES_ONE.search(route) is not None

    @cached_property
    def author_reads_all(self) -> bool:
        with seeing(None):
            is_owner, actor = _author_of(self._run_id)
        return is_owner or (actor is not None and self._wanted & {*BY_NAME.values()} <= actor.actions)

    @cached_property
    def of_author(self) -> NamedSight | None:
        """The deployments that the author sees, or may start; None for all of them."""
        with seeing(None):
            return sight_of_author(self._run_id, self._wanted)

    def cut(self, table: str) -> str:
        if OF_RUNS.match(table):
            return super().cut(table)
        if table in OF_AUTHORS and self.of_author is not None:
            return self.of_author.cut(table)
        is_list = BY_NAME.get(table) in self._wanted and not self._names_one
        return super().cut(table) if is_list and not self.author_reads_all else ""

    def judges_address(self, table: str | None) -> bool:
        return table == DEPLOYMENTS and self.of_author is not None


def _author_of(run_id: UUID) -> tuple[bool, Actor | None]:
    """Return whether the owner of the server is responsible for a run; otherwise its author, if that user exists.

    The author of a run that other users limit has only the rights that all of them have.
    """
    from django.contrib.auth.models import User

    from orion_site.accounts.users import actor_of_user

    responsible = responsible_for(run_id)
    if responsible is None:
        return False, None
    if not responsible.users:
        return True, None
    users = list(User.objects.filter(pk__in=responsible.users, is_active=True))
    if len(users) < len(responsible.users):
        return False, None
    return False, reduce(_with_rights_of_both, (actor_of_user(user)[0] for user in users))


def _with_rights_of_both(one: Actor, other: Actor) -> Actor:
    """Return the first actor with only the rights that both have."""
    first, second = _rights(one), _rights(other)
    objects = tuple(
        OnObject(kind, name, common)
        for kind, name in sorted(first.keys() | second.keys())
        if (common := first.get((kind, name), one.actions) & second.get((kind, name), other.actions))
    )
    return replace(one, actions=one.actions & other.actions, objects=objects)


def _rights(actor: Actor) -> Mapping[tuple[str, str], frozenset[Action]]:
    """Return what an actor may do to each named object."""
    rights: dict[tuple[str, str], frozenset[Action]] = {}
    for one in actor.objects:
        rights[one.kind, one.name] = rights.get((one.kind, one.name), actor.actions) | one.actions
    return rights


def sight_of_author(run_id: UUID, wanted: frozenset[Action]) -> NamedSight | None:
    """Return the sight of the run's author.

    Without author or deployment, the run sees only itself, and may start none.
    """
    # Actions that do not exist for named objects, such as reporting an event, concern what the author sees.
    wanted = wanted & OF_OBJECTS or frozenset({Action.READ_DEPLOYMENTS})
    is_owner, actor = _author_of(run_id)
    if is_owner or (actor is not None and wanted & actor.actions):
        return None
    names: dict[str, set[str]] = {"run": {str(run_id)}}
    for one in actor.objects if actor else ():
        if wanted & one.actions:
            names.setdefault(one.kind, set()).add(one.name)
    return NamedSight(names, reading=all(action.is_reading for action in wanted))
