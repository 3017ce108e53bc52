"""Kinds of values on the wire, checked in the same way on both sides. Only code that validates loads pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

# The logger of lines that replace others, which were lost on their way.
GAP_LOGGER = "orionflow.logging"


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; a moment without a zone is taken as UTC."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        from pydantic_core import PydanticCustomError

        raise PydanticCustomError("moment_out_of_range", "A moment must lie in the years 1 to 9999 of UTC") from None


class _InUtc:
    """Mark a field of moments for pydantic without importing it, as `AfterValidator(in_utc)` would."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(in_utc, handler(source))


Moment = Annotated[datetime, _InUtc()]


def at_most(characters: int) -> Mapping[str, Any]:
    """Return the metadata of a dataclass's text field, from which pydantic takes the maximum length."""
    return {"max_length": characters}


# The fields of a cause and their maximum lengths (`contract.fingerprints`). The message is not among them: it is that
# of the state, which is masked on arrival, where a secret in another form would not be found.
CAUSE_FIELDS: Mapping[str, int] = {"fingerprint": 32, "type": 120, "place": 160}


def bounded_cause(given: Mapping[str, Any]) -> dict[str, str]:
    """Return a cause from a client, with only the known fields, cut to their maximum lengths."""
    return {name: given[name][:most] for name, most in CAUSE_FIELDS.items() if isinstance(given.get(name), str)}


class _OfCause:
    """Mark a field for pydantic without importing it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(bounded_cause, handler(source))


CauseFields = Annotated[dict[str, str], _OfCause()]


# The verdict of the rules on a proposed state, and the outcome of one step of a batch, which may be faulty.
Verdict = Literal["ACCEPT", "REJECT", "WAIT", "ABORT"]
TransitionStatus = Literal[Verdict, "ERROR"]
# The most steps of task runs that the API accepts in one request.
MOST_TRANSITIONS = 1000
# The most events in one page of the API.
EVENTS_PER_PAGE = 50
# The API's command to the process of a flow run. "lost": another attempt owns the run.
RunCommand = Literal["cancel", "pause", "lost"]

# Names of result locations.
LOCATION_NAME = r"^[a-z0-9][a-z0-9_-]{0,99}$"
# The labels that contain the id of an event's resource, and its role in the event.
RESOURCE_ID = "prefect.resource.id"
RESOURCE_ROLE = "prefect.resource.role"
# The type of pools whose runs Orion's agents (and agents of Prefect) execute.
AGENT_POOL = "prefect-agent"

# How a pool shares its slots fairly among runs of one priority: by `deployment`, by `author`, or by `tag:team`, the tag
# of a deployment that starts with "team:".
BY_DEPLOYMENT, BY_AUTHOR, TAG_KEY = "deployment", "author", "tag:"
FAIR_SHARE_PATTERN = rf"^({BY_DEPLOYMENT}|{BY_AUTHOR}|{TAG_KEY}[^\s:]+)$"
# The flow that finds flows (`contract.discovery`), and the entry point of its code.
FINDER_NAME = "find-flows"
FINDER_ENTRYPOINT = "orionflow.deployments.discovery:find_flows"
