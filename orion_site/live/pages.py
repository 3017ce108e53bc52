"""Pages that answer with some of their parts: `?_f=head,rows` returns the content of `{% live "head" … %}` and "rows".

The view is the same, with its permissions and queries. The ETag contains a hash of each part, so that unchanged parts
need no transfer. Tabs that request the same parts after the same change share one rendering, in which each gets its own
CSRF tokens.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from hashlib import blake2b
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.template.context import make_context
from django.template.response import TemplateResponse
from django.utils.timezone import get_current_timezone_name

from orion_site.accounts.permissions import actor_of
from orion_site.live.hub import hub
from orion_site.live.tags import LiveNode

PARTS = "_f"
# How many more rows a list shows, while new rows above them wait for the user to load them.
HELD = "_held"
MOST_HELD = 100
# In requests, the last place that a tab knows; in answers, the place of the parts.
PLACE_HEADER = "Orion-Live"
MOST_SHARED, LONGEST_SHARED, SHARED_SECONDS = 128, 256 * 1024, 2.0
# Texts that differ in each rendering: times that scripts update, and CSRF tokens.
PASSING = re.compile(
    rb'(?<=data-shown="ago">)[^<]*|(?<=data-shown="elapsed">)[^<]*|(?<=csrfmiddlewaretoken" value=")\w*'
)
TOKEN = re.compile(rb'(?<=csrfmiddlewaretoken" value=")\w*')

View = Callable[..., HttpResponseBase]


@dataclass(slots=True)
class Shared:
    """The newest rendering of a part, and a lock for the thread that creates the next one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    number: int = 0
    until: float = 0.0
    answer: HttpResponse | None = None

    def current(self, number: int) -> HttpResponse | None:
        """Return the rendering if it started after the change with this number was committed."""
        return self.answer if self.number >= number and time.monotonic() < self.until else None


_shared: OrderedDict[tuple[str, str], Shared] = OrderedDict()
_shared_lock = threading.Lock()


def live_page(view: View) -> View:
    """Let a view that returns a `TemplateResponse` answer with its live parts. Put it below `@requires`."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Before the view reads anything: later changes reach the page through its websocket.
        place = hub.place_for_page()
        if (read := getattr(request, "orion_read", None)) is not None and read.as_of is not None:
            place = hub.place_as_of(read.as_of)
        request.live_place = place  # type: ignore[attr-defined]
        names, address = request.GET.get(PARTS, ""), request.get_full_path()
        if request.method != "GET" or not names:
            return view(request, *args, **kwargs)
        _take_own_parameters(request)
        request.live_parts = frozenset(names.split(","))  # type: ignore[attr-defined]
        number = hub.number_of(request.headers.get(PLACE_HEADER, ""))
        if number is None:
            return _as_asked(request, _parts(request, view(request, *args, **kwargs), names, place))
        actor = actor_of(request)
        # Rights may change between two requests, and times are written in the user's zone.
        rights = hash((actor.actions, actor.objects))
        shared = _shared_part(f"{actor.identity} {rights} {get_current_timezone_name()}", address)
        with shared.lock:
            answer = shared.current(number)
            if answer is None:
                place = hub.place_for_page()
                answer = _parts(request, view(request, *args, **kwargs), names, place)
                _share(shared, answer, hub.number_of(place) or 0)
        return _as_asked(request, answer)

    return answered


def is_shown(request: HttpRequest, *parts: str) -> bool:
    """Whether one of these parts is requested. A view need not read data that only other parts show."""
    asked: frozenset[str] | None = getattr(request, "live_parts", None)
    return asked is None or not asked.isdisjoint(parts)


def rows_held(request: HttpRequest) -> int:
    """Return how many rows beyond a page a list shows."""
    held: int = getattr(request, "live_held", 0)
    return held


def _take_own_parameters(request: HttpRequest) -> None:
    """Remove the parameters of live pages, so that links of the view do not contain them."""
    query = request.GET.copy()
    query.pop(PARTS, None)
    held = (query.pop(HELD, None) or ["0"])[-1]
    request.live_held = min(int(held), MOST_HELD) if held.isdecimal() and len(held) < 4 else 0  # type: ignore[attr-defined]
    query._mutable = False
    request.GET = cast(Any, query)
    request.META["QUERY_STRING"] = query.urlencode()


def _parts(request: HttpRequest, page: HttpResponseBase, names: str, place: str) -> HttpResponse:
    if not isinstance(page, TemplateResponse) or page.status_code != 200:
        # A redirect or a page without parts: the script leaves the page as it is.
        return cast(HttpResponse, page)
    template = cast(Any, page.resolve_template(page.template_name)).template
    nodes = {node.name: node for node in cast("list[LiveNode]", template.nodelist.get_nodes_by_type(LiveNode))}
    asked = list(dict.fromkeys(names.split(",")))
    if not nodes.keys() >= set(asked):
        raise Http404
    context = make_context(page.resolve_context(page.context_data), request, autoescape=True)
    with context.bind_template(template), context.render_context.push_state(template):
        context.template_name = template.name
        bodies = [nodes[name].render(context).encode() for name in asked]
    hashes = ".".join(blake2b(PASSING.sub(b"", body), digest_size=8).hexdigest() for body in bodies)
    return HttpResponse(b"".join(bodies), headers={PLACE_HEADER: place, "ETag": f'W/"{hashes}"'})


def _as_asked(request: HttpRequest, answer: HttpResponse) -> HttpResponseBase:
    etag = answer.headers.get("ETag")
    if etag and etag == request.headers.get("If-None-Match"):
        return HttpResponseNotModified(headers={"ETag": etag, PLACE_HEADER: answer.headers[PLACE_HEADER]})
    content = answer.content
    if TOKEN.search(content):
        content = TOKEN.sub(get_token(request).encode(), content)
    # A copy, because middleware changes the response.
    return HttpResponse(content, status=answer.status_code, headers=dict(answer.headers.items()))


def _shared_part(reader: str, address: str) -> Shared:
    with _shared_lock:
        shared = _shared.setdefault((reader, address), Shared())
        _shared.move_to_end((reader, address))
        while len(_shared) > MOST_SHARED:
            _shared.popitem(last=False)
        return shared


def _share(shared: Shared, answer: HttpResponse, number: int) -> None:
    if answer.status_code == 200 and len(answer.content) <= LONGEST_SHARED:
        # A CSRF token belongs to one user.
        answer.content = TOKEN.sub(b"", answer.content)
        shared.number, shared.until, shared.answer = number, time.monotonic() + SHARED_SECONDS, answer
