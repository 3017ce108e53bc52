"""`{% live %}` marks a part of a page that is updated when its topics change.

    {% live "tasks" "run:{0}:tasks" run.id %} … {% endlive %}

The first argument is the name of the part, the second lists its topics; the others are inserted into the topics. Named
arguments: `tag` and `class` of the element, `every` (seconds after which it is refreshed in any case), `still` (it does
not change under pointer and focus), `append` (a log: only new lines are requested), `title` (of the whole page),
`reload` (a change reloads the whole page). If the address of a page leaves a choice open, such as the tab, the view
fixes it for the requests of parts by `live_query` in its context. `docs/maintainers/live-pages.md` lists the topics.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, Node, NodeList, Parser, Token, token_kwargs
from django.template.context import Context
from django.urls import get_script_prefix
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


class LiveNode(Node):
    """An element whose content can be requested alone, at the address of its page."""

    def __init__(
        self, name: str, topics: list[FilterExpression], options: dict[str, FilterExpression], nodelist: NodeList
    ) -> None:
        self.name = name
        self.nodelist = nodelist
        self._topics = topics
        self._options = options

    def render(self, context: Context) -> SafeString:
        first, *values = [one.resolve(context) for one in self._topics]
        options = {key: value.resolve(context) for key, value in self._options.items()}
        tag = options.pop("tag", "div")
        attributes = {"id": f"live-{self.name}", "data-live": str(first).format(*values), **self._own(context, options)}
        pairs = format_html_join("", ' {}="{}"', attributes.items())
        return format_html("<{0}{1}>{2}</{0}>", tag, pairs, self.nodelist.render(context))

    def _own(self, context: Context, options: dict[str, Any]) -> dict[str, Any]:
        query = context["request"].GET.copy()
        for key, value in (context.get("live_query") or {}).items():
            query[key] = value
        own = {"data-live-part": self.name, "data-live-from": f"?{query.urlencode()}"}
        if css := options.pop("class", ""):
            own["class"] = css
        return own | {f"data-live-{key}": "" if value is True else value for key, value in options.items() if value}


@register.tag
def live(parser: Parser, token: Token) -> LiveNode:
    _, *words = token.split_contents()
    name, topics = words[0].strip("\"'"), []
    words = words[1:]
    while words and not token_kwargs(words[:1], parser):
        topics.append(parser.compile_filter(words.pop(0)))
    options = token_kwargs(words, parser)
    if not topics or words:
        raise template.TemplateSyntaxError('Write {% live "name" "topic:{0}" id key=value … %}')
    nodelist = parser.parse(("endlive",))
    parser.delete_first_token()
    return LiveNode(name, topics, options, nodelist)


@register.simple_tag(takes_context=True)
def live_socket(context: Context) -> SafeString:
    """Return the attributes of the body that tell scripts the address of the websocket and the place of the page."""
    place = getattr(context.get("request"), "live_place", "")
    return format_html('data-live-socket="{}live" data-live-place="{}"', get_script_prefix(), place)
