"""The operations of the contract on the whole database. Whoever may do that has the machine, and its commands."""

from __future__ import annotations

from orchestration.api.errors import Refused
from orchestration.api.operations import Operation
from orion_site.accounts.permissions import Action
from orionflow.contract.wire import Wire

ELSEWHERE = "Over the network no database is emptied. Do it on the server's own machine: `orion database reset`."


class Confirmation(Wire):
    confirm: bool = False


class _OfDatabase(Operation):
    action_required = Action.OPERATE
    answers = {204: None, 400: dict[str, str], 403: dict[str, str]}
    body_optional = True


class ClearDatabase(_OfDatabase):
    """Not done over the network; the answer says how it is."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)
        raise Refused(ELSEWHERE, 403)


class DropDatabase(_OfDatabase):
    """Not done over the network; the answer says how it is."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)
        raise Refused(ELSEWHERE, 403)


class CreateDatabase(_OfDatabase):
    """Nothing is left to do: a server that answers has its database."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)


def refuse_unconfirmed(body: Confirmation) -> None:
    if not body.confirm:
        raise Refused('Nothing was done: send {"confirm": true} if you mean it.', 400)
