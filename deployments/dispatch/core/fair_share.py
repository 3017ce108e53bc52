"""By what a pool shares fairly: the deployment of a run, the author of that, or a tag of it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from orionflow.contract.work import BY_AUTHOR, BY_DEPLOYMENT, TAG_KEY


def share_of(key: str, *, deployment_id: UUID | None, author: int | None, tags: Sequence[str]) -> str:
    """Whose a run is by this key. All that have no author, or no such tag, are one share, named by an empty text."""
    if key == BY_DEPLOYMENT:
        return str(deployment_id or "")
    if key == BY_AUTHOR:
        return "" if author is None else str(author)
    start = key.removeprefix(TAG_KEY) + ":"
    return min((tag for tag in tags if tag.startswith(start)), default="")
