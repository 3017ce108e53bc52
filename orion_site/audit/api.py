"""The audit log in the API: list entries, and verify the chain."""

from __future__ import annotations

import json
from typing import Any

from orchestration.api.answers import as_answer
from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action
from orion_site.audit import chain
from orion_site.audit.models import Entry
from orion_site.audit.selectors import Place, Wanted, entries_page
from orionflow.contract import audit as contract


class FilterAuditEntries(Operation):
    """List entries of the audit log, newest first. A page may be short: `after` says whether there are more."""

    method = "POST"
    action_required = Action.READ_AUDIT
    answers = {200: contract.AuditPage}
    body_optional = True

    def perform(self, body: contract.AuditListing) -> dict[str, Any]:
        after = Place.read(body.after) if body.after else None
        if body.after and after is None:
            raise Refused("`after` is not a place that an earlier page gave.")
        given = body.filter.model_dump(exclude_none=True) if body.filter else {}
        page = entries_page(wanted=Wanted(**given), after=after, size=body.limit)
        return {"entries": [entry_out(row) for row in page.rows], "after": str(page.after) if page.after else None}


def entry_out(entry: Entry) -> dict[str, Any]:
    before, after = (json.loads(text) if text else None for text in (entry.before, entry.after))
    return as_answer(contract.AuditEntry, entry, before=before, after=after)


class VerifyAuditEntries(Operation):
    """Verify the chain of some thousand entries, from the place that an earlier call reached.

    Each entry contains a hash of itself and the one before; the first of a day follows the last of the day before.
    """

    method = "POST"
    action_required = Action.READ_AUDIT
    answers = {200: contract.AuditVerified}
    body_optional = True

    def perform(self, body: contract.AuditVerification) -> dict[str, Any]:
        given = body.after
        place = chain.Place(given.day, given.number, given.hash) if given else None
        verified = chain.verify(place, most=contract.MOST_VERIFIED)
        return {
            "entries": verified.entries,
            "reached": verified.reached and as_answer(contract.AuditPlace, verified.reached),
            "finding": verified.finding and as_answer(contract.AuditFinding, verified.finding),
            "go_on": verified.go_on and as_answer(contract.AuditPlace, verified.go_on),
        }
