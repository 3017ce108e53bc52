"""Trees of flows and tasks that call each other in every way, as real functions whose value is known beforehand."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from orionflow import flow, task

FLOW, ASYNC_FLOW, TASK, ASYNC_TASK = "flow", "async flow", "task", "async task"
# How code of one kind may call another; a task may call flows, but no task.
STYLES: dict[str, dict[str, tuple[str, ...]]] = {
    FLOW: {
        TASK: ("call", "submit", "map"),
        ASYNC_TASK: ("call", "submit", "map", "asyncio.run"),
        FLOW: ("call", "thread", "thread in context"),
        ASYNC_FLOW: ("call", "asyncio.run", "thread"),
    },
    ASYNC_FLOW: {
        TASK: ("call", "submit", "map", "to_thread"),
        ASYNC_TASK: ("await", "submit", "map", "gather"),
        FLOW: ("call", "to_thread", "thread", "thread in context"),
        ASYNC_FLOW: ("await", "gather", "thread"),
    },
    TASK: {FLOW: ("call", "thread"), ASYNC_FLOW: ("run",)},
    ASYNC_TASK: {FLOW: ("call", "to_thread", "thread in context"), ASYNC_FLOW: ("await", "gather")},
}
HOOKS = ("none", "sync", "async")


@dataclass(frozen=True)
class Node:
    """One function, how it is called by the one around it, and what it calls itself."""

    kind: str
    style: str = "root"
    hook: str = "none"
    children: tuple[Node, ...] = ()

    @property
    def calls(self) -> int:
        return 2 if self.style in ("map", "gather") else 1

    @property
    def value(self) -> int:
        """The number that the function returns: how many functions are called in all, itself included."""
        return 1 + sum(child.calls * child.value for child in self.children)

    def __str__(self) -> str:
        inner = f" ({', '.join(map(str, self.children))})" if self.children else ""
        return f"{self.style} {self.kind}{' with hook' if self.hook != 'none' else ''}{inner}"


@st.composite
def nodes(draw: Any, around: str | None = None, depth: int = 4, width: int = 2) -> Node:
    """A tree whose root is called by code of the kind `around`, or by plain code."""
    kind = draw(st.sampled_from(list(STYLES[around]) if around else [FLOW, ASYNC_FLOW]))
    style = draw(st.sampled_from(STYLES[around][kind])) if around else "root"
    hook = draw(st.sampled_from(HOOKS))
    count = draw(st.integers(0, width)) if depth > 1 else 0
    children = tuple(draw(nodes(kind, depth - 1, width)) for _ in range(count))
    return Node(kind, style, hook, children)


@st.composite
def chains(draw: Any, depth: int = 10) -> Node:
    """Functions of which each calls one other, as deep as that."""
    node: Node | None = None
    kinds = [draw(st.sampled_from([FLOW, ASYNC_FLOW]))]
    while len(kinds) < depth:
        kinds.append(draw(st.sampled_from(list(STYLES[kinds[-1]]))))
    for place in range(depth - 1, -1, -1):
        style = draw(st.sampled_from(STYLES[kinds[place - 1]][kinds[place]])) if place else "root"
        # Two calls at each level would be a thousand runs.
        style = {"map": "submit", "gather": "await"}.get(style, style)
        node = Node(kinds[place], style, draw(st.sampled_from(HOOKS)), (node,) if node else ())
    assert node is not None
    return node


def rendered(node: Node) -> Any:
    """The decorated function of a node."""
    parts = [(child, rendered(child)) for child in node.children]

    def sync_function(_: int = 0) -> int:
        return 1 + sum(called(child, function) for child, function in parts)

    async def async_function(_: int = 0) -> int:
        return 1 + sum([await awaited(child, function) for child, function in parts])

    is_async = node.kind in (ASYNC_FLOW, ASYNC_TASK)
    hooks = {"none": [], "sync": [sync_hook], "async": [async_hook]}[node.hook]
    decorate = flow if node.kind in (FLOW, ASYNC_FLOW) else task
    return decorate(name=node.kind.replace(" ", "-"), on_completion=hooks)(
        async_function if is_async else sync_function
    )


def called(child: Node, function: Any) -> int:
    """A call in sync code."""
    match child.style:
        case "call":
            return plain(function())
        case "submit":
            return plain(function.submit().result())
        case "map":
            return sum(plain(function.map([1, 2]).result()))
        case "asyncio.run":
            return asyncio.run(in_coroutine(function))
        case "run":
            return with_a_loop_if_it_wants_one(function)
        case "thread" | "thread in context":
            return in_thread(child, function)
    raise AssertionError(child.style)


async def awaited(child: Node, function: Any) -> int:
    """A call in a coroutine."""
    match child.style:
        case "call":
            return plain(function())
        case "await":
            value: int = await function()
            return value
        case "submit":
            submitted = function.submit().result()
            return await submitted if inspect.isawaitable(submitted) else submitted
        case "map":
            mapped = function.map([1, 2]).result()
            return sum(await mapped if inspect.isawaitable(mapped) else mapped)
        case "gather":
            return sum(await asyncio.gather(function(), function()))
        case "to_thread":
            return plain(await asyncio.to_thread(function))
        case "thread" | "thread in context":
            return in_thread(child, function)
    raise AssertionError(child.style)


async def in_coroutine(function: Any) -> int:
    value: int = await function()
    return value


def in_thread(child: Node, function: Any) -> int:
    """Blocks until another thread has called the function, with or without the run around it as its parent."""
    call = contextvars.copy_context().run if child.style == "thread in context" else contextvars.Context().run
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, with_a_loop_if_it_wants_one, function).result()


def with_a_loop_if_it_wants_one(function: Any) -> int:
    value = function()
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def plain(value: int) -> int:
    assert not inspect.isawaitable(value)
    return value


def sync_hook(*_: Any) -> None:
    asyncio.run(asyncio.sleep(0))


async def async_hook(*_: Any) -> None:
    await asyncio.sleep(0)
