from __future__ import annotations

from prefect import flow, task


@task
def greet(name):
    return f"hello, {name}"


@flow
def hello():
    return greet("world")


hello()
