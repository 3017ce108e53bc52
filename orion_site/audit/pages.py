"""The page of the audit log, with its filters in the address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from orchestration.database_clock import current_time
from orion_site.accounts.permissions import Action, requires
from orion_site.audit.fields import Field, shown, values_of
from orion_site.audit.links import page_of
from orion_site.audit.models import Entry
from orion_site.audit.selectors import Place, Wanted, entries_page
from orion_site.audit.subjects import kinds
from runs.pages.filtering import SINCE_CHOICES, address_after, address_without
from runs.pages.query_box import read_since

PAGE_SIZE = 50
FILTERS = ("actor", "action", "object", "kind", "entrance", "result", "since", "until")
# The most fields shown for each entry.
SHOWN = 6


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
    before, after = (values_of(text) for text in (entry.before, entry.after))
    names = list(dict.fromkeys([*before, *after]))
    fields = [Field(name, shown(before.get(name), name), shown(after.get(name), name)) for name in names]
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
