"""The API: whether it answers, its response time and version, and whether its clock agrees with ours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from orionflow.calls.flow_runs import FLOW_RUNS
from orionflow.calls.server import check_health, find_bottlenecks, read_me, read_server_settings, read_version
from orionflow.cli.backend import Backend
from orionflow.cli.doctor import Finding
from orionflow.cli.errors import explained
from orionflow.cli.version import client_version

PATIENCE_SECONDS = 2.0
# Seconds: the Date header has whole seconds, and the request takes time.
CLOCK_TOLERANCE_SECONDS = 3.0


def api() -> Iterator[Finding]:
    from orionflow.cli.doctor.database import sqlite_path
    from orionflow.settings import current_settings

    settings = current_settings()
    file = sqlite_path(os.environ.get("ORION_DATABASE_URL"), settings.home)
    if settings.api_url is None and file is not None and not file.exists():
        # Asking the API in this process would create the database, but the doctor changes nothing.
        yield Finding("api", "ok", "in this process; nothing has run yet")
        return
    backend = Backend(patience_seconds=PATIENCE_SECONDS)
    try:
        yield from _answers(backend)
    except Exception as error:
        failure = explained(error)
        yield Finding("api", "problem", failure.what, failure.fix)
        return
    if not backend.client.is_ephemeral:
        yield from _clock(backend)
        yield _access(backend)
        yield from _bottlenecks(backend)


def _answers(backend: Backend) -> Iterator[Finding]:
    backend.ask(check_health())
    began = time.perf_counter()
    backend.ask(FLOW_RUNS.find({"limit": 1}))
    took = (time.perf_counter() - began) * 1000
    where = "in this process" if backend.client.is_ephemeral else f"at {backend.client.api_url}"
    yield Finding("api", "ok", f"{where}, reads a run in {took:.0f} ms; its database is up to date")
    yield _version(str(backend.ask(read_version())))
    if not backend.client.is_ephemeral and _is_anyones(backend):
        yield Finding(
            "access",
            "warning",
            "every user of the server's machine can read everything and run code as its owner",
            "start the server without ORION_LOCAL_OWNER=anyone",
        )


def _is_anyones(backend: Backend) -> bool:
    from orionflow.errors import NotAllowed

    try:
        known: bool = backend.ask(read_server_settings()).get("ORION_LOCAL_OWNER") == "anyone"
    except NotAllowed:
        # Keys of agents may not read settings.
        return False
    return known


def _version(server: str) -> Finding:
    client = client_version()
    if server.split(".")[:2] == client.split(".")[:2]:
        return Finding("api", "ok", f"version {server} fits this client")
    return Finding(
        "api", "problem", f"version {server} does not fit client {client}", f"pip install orionflow=={server}"
    )


def _access(backend: Backend) -> Finding:
    """Report which user the server takes the sender for; without a key or session, that depends on the connection."""
    me = backend.ask(read_me())
    if me["by"]:
        return Finding("access", "ok", f"the server recognises you as {me['name']}, by a {me['by']}")
    return Finding(
        "access",
        "warning",
        f"the server treats you as {me['name']} without a key, and anyone who connects in the same way",
        "run it only where every user of the machine is trusted; others get users and keys: orion user create",
    )


def _bottlenecks(backend: Backend) -> Iterator[Finding]:
    """Yield the parts that delay the installation, as reported by the server; servers of earlier versions do not."""
    from orionflow.errors import NotAllowed, NotFound

    try:
        found = backend.ask(find_bottlenecks())
    except (NotAllowed, NotFound):
        return
    for one in found:
        yield Finding(one["part"], "warning", one["evidence"], one["fix"])
    if not found:
        yield Finding("load", "ok", "no part of the server keeps the others waiting")


def _clock(backend: Backend) -> Iterator[Finding]:
    """Compare the clocks: if they differ, states and logs are shown in the wrong order."""
    reply = backend.client.session().get(f"{backend.client.api_url}/health", timeout=PATIENCE_SECONDS)
    if "Date" not in reply.headers:
        yield Finding("clock", "warning", "the API gives no time, so clocks cannot be compared")
        return
    apart = abs((datetime.now(UTC) - parsedate_to_datetime(reply.headers["Date"])).total_seconds())
    if apart > CLOCK_TOLERANCE_SECONDS:
        yield Finding("clock", "warning", f"differs from the server's by {apart:.0f} s", "let both machines use NTP")
    else:
        yield Finding("clock", "ok", "agrees with the server's")
