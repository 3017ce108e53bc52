"""Which secrets the runs of a deployment may read: those that it declares, and all that its author may read.

To declare a block, a user must have the right to read its secrets: otherwise the right to change a deployment would be
a way to read them. A user who can change the deployment's code afterwards can use the secrets that it declares.
Users who decide how one run is executed limit which others this run may read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from deployments.definitions.responsible import responsible_for
from deployments.errors import SecretsNotYours
from deployments.models import BlockDocument, BlockReference, Deployment
from orchestration.authors import asking_user, refusal
from runs.limiting_users import NOBODY
from runs.models import FlowRun

READ = "blocks.secrets"
# Blocks that a deployment names by id; its runs may read their secrets.
NAMED = ("storage_document_id", "infrastructure_document_id")


def refuse_secrets_of_others(deployment: Deployment, columns: Mapping[str, Any]) -> None:
    """Refuse blocks that the deployment did not declare before, if the user may not read secrets.

    Raises SecretsNotYours.
    """
    new = {*(columns.get("secrets") or ())} - {*deployment.secrets}
    by_id = [columns.get(name) for name in NAMED if columns.get(name) != getattr(deployment, name)]
    ids = [one for one in by_id if one is not None]
    if not new and not ids:
        return
    if reason := refusal(asking_user(), READ):
        blocks = BlockDocument.objects.select_related("block_type").filter(pk__in=ids)
        named = sorted({*new, *map(name_of, blocks)})
        raise SecretsNotYours(names=", ".join(named), reason=reason)


def name_of(block: BlockDocument) -> str:
    return f"{block.block_type.slug}/{block.name}"


def why_not_for_run(
    run_id: UUID, blocks: Sequence[BlockDocument], below: Mapping[UUID, Sequence[BlockReference]]
) -> str:
    """Return why an attempt of this run may not read the secrets of these blocks, or "" if it may."""
    if not any(_sealed(block, below) for block in blocks):
        return ""
    of_run = FlowRun.objects.filter(pk=run_id).values("deployment_id")
    deployment = Deployment.objects.select_related("flow").filter(pk__in=of_run).first()
    responsible = responsible_for(run_id)
    if deployment is None or responsible is None:
        return "The deployment of this run is not there any more, so that its process reads no more secrets."
    declared = {*deployment.secrets, *(getattr(deployment, name) for name in NAMED)}
    missing = [one for block in blocks for one in _undeclared(block, below, declared)]
    if not missing:
        return ""
    if responsible.author == NOBODY:
        return "Secrets are used only for searches that a user started on the page New deployment."
    if reason := refusal(responsible.author, READ):
        because = f"its author {responsible.author_name} may not read secrets, because {reason}"
    elif NOBODY in responsible.limits:
        because = "an earlier version of Orion did not record who set the job variables of this run. Start a new run."
    elif reason := next(filter(None, (refusal(user, READ) for user in responsible.limits)), ""):
        because = f"a user who decided how this run is executed may not read secrets, because {reason}"
    else:
        return ""
    names = sorted({name_of(one) for one in missing})
    return (
        f"Runs of {deployment.flow.name}/{deployment.name} may not read the secrets of {', '.join(names)}: the "
        f"deployment does not declare them, and {because} Somebody who may read them can add to the deployment: "
        f"secrets: [{', '.join(names)}]."
    )


def _sealed(block: BlockDocument, below: Mapping[UUID, Sequence[BlockReference]]) -> bool:
    return block.sealed is not None or any(_sealed(one.document, below) for one in below[block.pk])


def _undeclared(
    block: BlockDocument, below: Mapping[UUID, Sequence[BlockReference]], declared: set[Any]
) -> list[BlockDocument]:
    """Return the sealed blocks that are neither declared nor contained in a declared one."""
    if block.pk in declared or name_of(block) in declared:
        return []
    own = [block] if block.sealed is not None else []
    return own + [inner for one in below[block.pk] for inner in _undeclared(one.document, below, declared)]
