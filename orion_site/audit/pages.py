"""The page of the audit log, with its filters in the address."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.audit.links import page_of
from orion_site.audit.models import Entry
from orion_site.audit.selectors import Place, Wanted, entries_page
from orion_site.audit.subjects import kinds
from runs.pages.filtering import SINCE_CHOICES, address_after, address_without
from runs.pages.query_box import read_since

PAGE_SIZE = 50
FILTERS = ("actor", "action", "object", "kind", "entrance", "result", "since", "until")
# The fields of an author, as `orchestration.authors` stores them.
_AUTHOR = {"id", "type", "display_value"}
# The most fields shown for each entry, and the most characters of a value.
SHOWN, LONGEST = 6, 200


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an entry, before and after."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as the page shows it."""

    entry: Entry
    words: str
    # More about the entrance, if known.
    through: str
    page: str
    fields: Sequence[Field]
    more: Sequence[Field]
    is_change: bool

    @property
    def kind(self) -> str:
        return self.entry.object_kind.replace("-", " ")


@requires(Action.READ_AUDIT)
def audit(request: HttpRequest) -> HttpResponse:
    values = {name: request.GET.get(name, "").strip()[:255] for name in FILTERS}
    problems: list[str] = []
    since, until = (read_since(values[name], problems) for name in ("since", "until"))
    now = current_time()
    wanted = Wanted(
        **{name: values[name] for name in FILTERS[:-2]},
        since=now - since if isinstance(since, timedelta) else since,
        until=now - until if isinstance(until, timedelta) else until,
    )
    found = entries_page(wanted=wanted, after=Place.read(request.GET.get("after", "")), size=PAGE_SIZE)
    context = {
        "section": "audit",
        "lines": [_line(row) for row in found.rows],
        "looked_back_to": found.after.at if found.after else None,
        "values": values,
        "problems": problems,
        "actions": _ACTIONS,
        "kinds": list(kinds()),
        "entrances": Entry.Entrance.values,
        "since_choices": SINCE_CHOICES,
        "is_filtered": any(values.values()),
        "is_first": "after" not in request.GET,
        "first": address_without(request.GET),
        "next": address_after(request.GET, found.after),
    }
    return TemplateResponse(request, "audit/audit.html", context)


_ACTIONS = sorted(
    one.value for one in Action if one is Action.READ_SECRETS or one is Action.REPORT_RUNS or not one.is_reading
)


# The operation of `runs.bulk_actions.services`.
_BULK = "bulk-action "


def _line(entry: Entry) -> Line:
    before, after = (_read(text) for text in (entry.before, entry.after))
    names = list(dict.fromkeys([*before, *after]))
    fields = [Field(name, _shown(before.get(name), name), _shown(after.get(name), name)) for name in names]
    page = page_of(entry.object_kind, entry.object_id)
    bulk = entry.operation.removeprefix(_BULK) if entry.operation.startswith(_BULK) else ""
    words = "Bulk action" if bulk else operation_words(entry.operation)
    through = page_of("bulk-action", bulk)
    return Line(entry, words, through, page, fields[:SHOWN], fields[SHOWN:], bool(before) and bool(after))


def operation_words(operation: str) -> str:
    """Return an operation as words: the API names operations like classes, pages and the admin by their addresses.

    In the admin a command may follow the address: `admin:runs_flowrun_changelist cancel`.
    """
    address, space, command = operation.partition(" ")
    name = f"{address.rpartition(':')[2]}{space}{command}"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-_]", " ", name).capitalize()


def _read(text: str) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    return _flat(found) if isinstance(found, dict) else {}


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an object and of its parts, which are stored under kind and id of the part."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        kind, _, id = name.partition(" ")
        if id and isinstance(value, dict):
            flat |= {f"{kind} {id[:8]}: {inner}": one for inner, one in value.items()}
        else:
            flat[name] = value
    return flat


def _shown(value: Any, name: str) -> str:
    if value is None:
        return ""
    if name == "state" and isinstance(value, str):
        # Type and name of a state; if there is a name, it says more.
        return value.partition(" ")[2] or value.capitalize()
    if isinstance(value, dict) and value.keys() == _AUTHOR:
        value = value["display_value"]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
