"""Sight of the process of a run, which looks things up by name with its token.

Names belong to no run, so that rights on the run alone would show none of them. But code must not reach by its token
what whoever is responsible for it could not: a deployer of one deployment sees and starts no others through its runs.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from uuid import UUID

from orchestration.authors import user_in
from orchestration.sight import seeing
from orchestration.tables import fetch
from orion_site.accounts.objects import NamedSight
from orion_site.accounts.permissions import OF_OBJECTS, Action, Actor
from orionflow.contract.discovery import ENTRYPOINT as FINDS_FLOWS

# What runs say and hold: a run sees of it what is its own.
OF_RUNS = re.compile(r"runs_(?!flow\b)|events_|deployments_(?:backfill|backfilltime|deadline|lease|slot|globalslot)\b")
# What the author of its deployment sees, or may start.
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

# What code looks up by its name. A list of all of it is for authors who may read it anyway.
BY_NAME = {"deployments_variable": Action.READ_VARIABLES, "deployments_blockdocument": Action.READ_BLOCKS}
NAMES_ONE = re.compile(r"(?:variables|block_documents|blocks)/(?:name/)?<")

_AUTHOR = """
SELECT d.author, d.entrypoint, f.created_by FROM runs_flowrun f
JOIN deployments_deployment d ON d.id = f.deployment_id WHERE f.id IN """


class SightOfRun(NamedSight):
    """Of runs its own, of deployments and queues those of the author, of everything else all there is.

    Of variables and blocks, an author with rights on named objects only has no list, and so its runs have none: they
    read those that they name.
    """

    def __init__(self, run_id: UUID, wanted: frozenset[Action], route: str) -> None:
        # Also what it started before: a repeated request finds it again.
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
            return _sight_of_author(self._run_id, self._wanted)

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
    """Whether the owner of the server is responsible for a run; else who is, if there is somebody by now."""
    from django.contrib.auth.models import User

    from orion_site.accounts.users import actor_of_user

    found = fetch(_AUTHOR, [run_id])
    if not found:
        return False, None
    ((author, entrypoint, made_by),) = found
    if entrypoint == FINDS_FLOWS:
        # What is executed there is what somebody asked with, and no one's deployment.
        made_by = json.loads(made_by) if isinstance(made_by, str) else made_by
        author = user_in(made_by)
    if author is None:
        return True, None
    user = User.objects.filter(pk=author, is_active=True).first()
    return False, actor_of_user(user)[0] if user else None


def _sight_of_author(run_id: UUID, wanted: frozenset[Action]) -> NamedSight | None:
    """Without an author who is there, and without the deployment, the run sees its own and starts none."""
    # What holds for no named object, such as to report an event, it says of what its author sees.
    wanted = wanted & OF_OBJECTS or frozenset({Action.READ_DEPLOYMENTS})
    is_owner, actor = _author_of(run_id)
    if is_owner or (actor is not None and wanted & actor.actions):
        return None
    names: dict[str, set[str]] = {"run": {str(run_id)}}
    for one in actor.objects if actor else ():
        if wanted & one.actions:
            names.setdefault(one.kind, set()).add(one.name)
    return NamedSight(names, reading=all(action.is_reading for action in wanted))
