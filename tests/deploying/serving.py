"""A program that serves two flows; run as a script by the tests."""

from __future__ import annotations

import os

from orionflow import flow, serve


@flow
def greet(name: str = "nobody") -> str:
    return f"hello {name} from {os.getppid()}"


@flow
def report() -> None: ...


if __name__ == "__main__":
    serve(greet.to_deployment("served", interval=86400), report.to_deployment("served"), limit=2)
