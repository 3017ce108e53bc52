"""The subset of Jinja in which templates can be filled in without running code of their authors.

Jinja's own parser reads a template. It is then validated against a list of allowed elements: variables, filters,
conditions, and loops with a limited number of rounds. There are no calls, no arithmetic and no attributes of Python
objects, and all results are limited in length, so the size of the template and the event bound the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, wraps
from itertools import islice
from typing import Any

from jinja2 import ChainableUndefined, Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 100_000
MOST_PARTS = 5_000
MOST_LOOPS = 10
DEEPEST_LOOP = 2
MOST_ROUNDS = 100
# The budget of work for one template: 1 for each character that a filter returns, more for each element of a loop in
# each round.
FUEL = 20_000_000
PER_PART = 1_000
PER_FILTER = 100

_TEXT_FILTERS = frozenset(
    {"capitalize", "e", "escape", "lower", "safe", "title", "trim", "truncate", "upper", "urlencode"}
)
_OTHER_FILTERS = frozenset(
    {"abs", "count", "d", "default", "first", "float", "int", "last", "length", "list", "reverse"}
)
_FILTERS = _TEXT_FILTERS | _OTHER_FILTERS | {"string"}
_TESTS = frozenset({"defined", "undefined", "none", "true", "false", "string", "number", "mapping", "sequence", "in"})
_OF_LOOPS = frozenset({"index", "index0", "first", "last", "length"})
# Exceptions of Jinja and Python for templates that they cannot parse or render.
PROBLEMS: tuple[type[Exception], ...] = (
    TemplateError,
    SyntaxError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    RecursionError,
    AssertionError,
    MemoryError,
)
_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.Getattr, nodes.Getitem),
    *(nodes.Filter, nodes.Test, nodes.Keyword, nodes.If, nodes.For, nodes.CondExpr, nodes.Compare, nodes.Operand),
    *(nodes.And, nodes.Or, nodes.Not, nodes.List, nodes.Tuple),
)

fuel: ContextVar[list[int]] = ContextVar("fuel")
# How the values of variables are escaped. The text of the template itself is not changed.
escape: ContextVar[Callable[[str], str]] = ContextVar("escape", default=str)


@lru_cache(maxsize=256)
def compiled(text: str) -> Template:
    """Return the compiled template. Raises one of PROBLEMS if it is not allowed."""
    return _environment.from_string(_bounded(_checked(text)))


def _burn(amount: int) -> None:
    left = fuel.get()
    left[0] -= amount
    if left[0] < 0:
        raise ValueError("it takes too much work")


def _checked(text: str) -> nodes.Template:
    parsed = _environment.parse(text)
    parts = list(islice(_all_below(parsed), MOST_PARTS + 1))
    if len(parts) > MOST_PARTS:
        raise TemplateSyntaxError("the template has too many parts", 1)
    for node in parts:
        if problem := _problem(node):
            raise TemplateSyntaxError(problem, getattr(node, "lineno", None) or 1)
    loops = list(parsed.find_all(nodes.For))
    if len(loops) > MOST_LOOPS or any(_depth(loop) > DEEPEST_LOOP for loop in loops):
        raise TemplateSyntaxError(f"at most {MOST_LOOPS} loops, and {DEEPEST_LOOP} within each other", loops[-1].lineno)
    return parsed


def _all_below(node: nodes.Node) -> Iterable[nodes.Node]:
    for child in node.iter_child_nodes():
        yield child
        yield from _all_below(child)


def _problem(node: nodes.Node) -> str | None:
    match node:
        case nodes.Filter(name=name) if name not in _FILTERS and name not in OWN_FILTERS:
            return f"there is no filter {name!r}; there are {', '.join(sorted({*_FILTERS, *OWN_FILTERS}))}"
        case nodes.Test(name=name) if name not in _TESTS:
            return f"there is no test {name!r}; there are {', '.join(sorted(_TESTS))}"
        case nodes.For(recursive=True):
            return "recursive loops are not supported"
        case _ if isinstance(node, _NODES):
            return None
    return f"{type(node).__name__.lower()} is not supported: placeholders, filters, conditions and loops are"


def _depth(node: nodes.Node) -> int:
    below = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


def _bounded(parsed: nodes.Template) -> nodes.Template:
    """Limit the number of rounds of every loop, whatever it iterates over."""
    for loop in parsed.find_all(nodes.For):
        parts = nodes.Const(sum(1 for _ in _all_below(loop)))
        loop.iter = nodes.Filter(loop.iter, "_rounds", [parts], [], None, None, lineno=loop.lineno)
    return parsed


def _rounds(value: Any, parts: int) -> list[Any]:
    taken = list(islice(value, MOST_ROUNDS))
    _burn(PER_PART * parts * len(taken))
    return taken


def _link(value: Any) -> Any:
    """Return the address of the page about a value; empty if it has none."""
    return value.get("url", "") if isinstance(value, Mapping) else ""


def _no_link(value: Any) -> str:
    """Return nothing. Usual templates of Prefect's clients use the filter, but events have no such page here."""
    return ""


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str)


def _joined(values: Any, between: str = "") -> str:
    parts = [str(value) for value in islice(values, LONGEST)]
    if sum(map(len, parts)) + len(between) * len(parts) > LONGEST:
        raise ValueError(f"what is joined becomes longer than {LONGEST} characters")
    return between.join(parts)


def _limited(filtering: Callable[..., Any]) -> Callable[..., Any]:
    """Limit the results of filters: a chain of them could otherwise make a short text grow without end."""

    # `wraps` also copies Jinja's markers, such as for filters that take the environment.
    @wraps(filtering)
    def limited(*given: Any, **named: Any) -> Any:
        result = filtering(*given, **named)
        _burn(PER_FILTER + (len(result) if isinstance(result, str | list) else 0))
        if isinstance(result, str | list) and len(result) > LONGEST:
            raise ValueError(f"what a filter makes becomes longer than {LONGEST}")
        return result

    return limited


OWN_FILTERS = {"join": _joined, "tojson": _as_json, "ui_url": _link, "ui_resource_events_url": _no_link}


class _Environment(ImmutableSandboxedEnvironment):
    """An environment in which variables look up values of the event, never attributes of Python objects."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            if isinstance(obj, Mapping) or (isinstance(obj, Sequence) and isinstance(argument, int)):
                return obj[argument]
        except (LookupError, TypeError):
            pass
        if isinstance(obj, LoopContext) and argument in _OF_LOOPS:
            return getattr(obj, argument)
        if isinstance(obj, Undefined):
            return obj
        return self.undefined(obj=obj, name=argument)


def _made() -> _Environment:
    # Texts are plain: nothing is escaped for HTML, because no page renders them.
    environment = _Environment(
        undefined=ChainableUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        # No constant folding at compile time, which would not be counted as work.
        optimized=False,
        finalize=lambda value: "" if value is None else escape.get()(str(value)),
    )
    known = {name: environment.filters[name] for name in _FILTERS}
    environment.filters = {name: _limited(one) for name, one in {**known, **OWN_FILTERS}.items()}
    environment.filters["_rounds"] = _rounds
    environment.globals = {}
    return environment


_environment = _made()
