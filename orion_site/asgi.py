"""The ASGI application: HTTP runs Django's WSGI application on bounded threads, websockets go to the consumers."""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")

# First, because it sets up Django, and the consumers below import models.
from orion_site.wsgi import application as wsgi_application  # noqa: E402, I001

from channels.routing import ProtocolTypeRouter  # noqa: E402

from orion_site.http.shared_answers import SharedAnswers  # noqa: E402
from orion_site.http.sockets import websockets  # noqa: E402
from orion_site.http.wsgi_adapter import WSGIAdapter  # noqa: E402
from orion_site.live.hub import hub  # noqa: E402

base_path = settings.FORCE_SCRIPT_NAME or ""
http = WSGIAdapter(
    wsgi_application,
    base_path=base_path,
    max_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    threads=settings.ORION_SERVER_THREADS,
    in_flight=settings.ORION_SERVER_MAX_IN_FLIGHT,
    shared=SharedAnswers(hub.number_of, hub.place_for_page),
)
application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": websockets(
            base_path=base_path,
            most=settings.ORION_SERVER_MAX_SOCKETS,
            most_pages=settings.ORION_SERVER_MAX_PAGES,
        ),
        "lifespan": http.lifespan,
    }
)
