"""Messages of clients on websockets: their introduction, the tasks that they serve, and the events that they follow.

Only clients of Prefect send them: the SDK needs no websockets.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from orionflow.contract.events import EventFilter
from orionflow.contract.wire import Text1024, Wire


class Introduction(Wire):
    type: Literal["auth"]
    token: Any = None


class Subscription(Wire):
    type: Literal["subscribe"]
    keys: Annotated[list[Text1024], Field(min_length=1, max_length=1000)]


class Reply(Wire):
    type: Literal["ack", "quit"]


class FilterRequest(Wire):
    type: Literal["filter"]
    filter: EventFilter
    backfill: bool = True
