"""Operations of the API on the whole database. They are refused; operators use commands on the server's machine."""

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
    """Refuse to empty the database over the network; the answer names the command to use."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)
        raise Refused(ELSEWHERE, 403)


class DropDatabase(_OfDatabase):
    """Refuse to empty the database over the network; the answer names the command to use."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)
        raise Refused(ELSEWHERE, 403)


class CreateDatabase(_OfDatabase):
    """Do nothing: a server that answers has a database."""

    method = "POST"

    def perform(self, body: Confirmation) -> None:
        refuse_unconfirmed(body)


def refuse_unconfirmed(body: Confirmation) -> None:
    if not body.confirm:
        raise Refused('Nothing was done: send {"confirm": true} if you mean it.', 400)
