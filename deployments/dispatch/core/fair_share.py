"""Fair shares: the deployment of a run, the deployment's author, or a tag of the run."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from orionflow.contract.kinds import BY_AUTHOR, BY_DEPLOYMENT, TAG_KEY


def share_of(key: str, *, deployment_id: UUID | None, author: int | None, tags: Sequence[str]) -> str:
    """Return the share of a run for this key: an empty text for all runs without an author, or without such a tag."""
    if key == BY_DEPLOYMENT:
        return str(deployment_id or "")
    if key == BY_AUTHOR:
        return "" if author is None else str(author)
    start = key.removeprefix(TAG_KEY) + ":"
    return min((tag for tag in tags if tag.startswith(start)), default="")
