"""`orion server start` with paths below which a thread computes or sleeps, and short limits for its connections."""

from __future__ import annotations

import os
import sys
import time

from orion_site.http.startup import settings_ready

settings_ready()

import orion_site.wsgi  # noqa: E402 (settings come first)
from orion_site.http import connections, daphne_server  # noqa: E402

usual = orion_site.wsgi.application


def stuck(environ, start_response):
    if environ["PATH_INFO"] == "/asleep":
        # A request that waits for this thread is never answered.
        time.sleep(3600)
    if environ["PATH_INFO"] == "/stuck":
        print("computing", file=sys.stderr, flush=True)
        while True:
            pass
    return usual(environ, start_response)


orion_site.wsgi.application = stuck
daphne_server.LoopbackServer.grace = float(os.environ.get("GRACE_SECONDS", "1"))
connections.HEAD_SECONDS, connections.BODY_SECONDS = 1.0, 2.0

from orion_site.commands import server  # noqa: E402

server(["start", "--port", "0", "--no-agent", "--no-services"])
