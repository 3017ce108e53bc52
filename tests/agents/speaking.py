"""A flow that sends every kind of request that flows send, and writes the environment of its process to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from orionflow import (
    Secret,
    Variable,
    concurrency,
    create_markdown_artifact,
    flow,
    get_run_logger,
    run_deployment,
    task,
)


@task
def double(x: int) -> int:
    get_run_logger().info("doubling %s", x)
    return 2 * x


@task(retries=1, cache_key_fn=lambda context, given: f"cached-{given['x']}", tags=["few"])
def cached(x: int) -> int:
    return x


@flow
def inner(x: int) -> int:
    return double(x) + sum(one.result() for one in double.map([1, 2]))


@flow
def speaking(into: str, other: str) -> int:
    get_run_logger().info("hello")
    found: Any = inner(3)
    assert Variable.get("colour").value == "blue"
    assert Secret.load("vault").get() == "open sesame"
    with concurrency("seats"):
        started = run_deployment(other, timeout=60, poll_interval=0.2)
    assert started.state_name == "Completed", started
    create_markdown_artifact("# Done", key="speaking")
    cached(1)
    seen = Path("/proc/self/environ").read_bytes().replace(b"\0", b"\n").decode()
    Path(into).write_text("\n".join([seen, *(f"{name}={value}" for name, value in os.environ.items())]))
    return int(found)


@flow
def failing() -> None:
    get_run_logger().error("this goes wrong")
    raise ValueError("as it should")
