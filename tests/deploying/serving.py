"""A program that serves some flows under the name that it is given; run as a script by the tests."""

from __future__ import annotations

import os
import sys
import time

from orionflow import flow, serve


@flow
def greet(name: str = "nobody") -> str:
    return f"hello {name} from {os.getppid()}"


@flow
def report() -> None: ...


@flow
def nap() -> None:
    time.sleep(300)


if __name__ == "__main__":
    serve(
        greet.to_deployment(sys.argv[1], interval=86400),
        *(one.to_deployment(sys.argv[1]) for one in (report, nap)),
        limit=2,
        drain_timeout=1,
    )
