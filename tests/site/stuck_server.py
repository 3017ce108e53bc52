"""`orion server start` with paths of long requests and long answers, and short limits for its connections."""

from __future__ import annotations

import os
import sys
import time

from orion_site.http.startup import settings_ready

settings_ready()

import orion_site.wsgi  # noqa: E402 (settings come first)
from orion_site.http import connections, daphne_server  # noqa: E402

MEGABYTE = 1024 * 1024
usual = orion_site.wsgi.application


def stuck(environ, start_response):
    if environ["PATH_INFO"] == "/asleep":
        # A request that waits for this thread is never answered.
        time.sleep(3600)
    if environ["PATH_INFO"] == "/stuck":
        print("computing", file=sys.stderr, flush=True)
        while True:
            pass
    if environ["PATH_INFO"] == "/long":
        return long(environ["QUERY_STRING"], start_response)
    return usual(environ, start_response)


def long(megabytes, start_response):
    """Answer with so many megabytes, of fewer than four without the end, and print how many were made."""
    made = 0
    try:
        start_response("200 OK", [])
        while made < int(megabytes):
            made += 1
            yield bytes(MEGABYTE)
        if made < 4:
            raise OSError("no more")
    finally:
        print(f"made {made} MB", file=sys.stderr, flush=True)


orion_site.wsgi.application = stuck
daphne_server.LoopbackServer.grace = float(os.environ.get("GRACE_SECONDS", "1"))
connections.HEAD_SECONDS, connections.BODY_SECONDS = 1.0, 2.0
connections.SLOWEST_READER_SECONDS = float(os.environ.get("READER_SECONDS", "60"))

from orion_site.commands import server  # noqa: E402

server(["start", "--port", "0", "--no-agent", "--no-services"])
