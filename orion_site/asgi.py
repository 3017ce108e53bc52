"""The ASGI application: HTTP goes to Django's WSGI application on our own threads, websockets to their own door."""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")

from orion_site.http.bridge import WSGIBridge  # noqa: E402
from orion_site.http.sockets import SocketDoor  # noqa: E402
from orion_site.wsgi import application as wsgi_application  # noqa: E402

base_path = settings.FORCE_SCRIPT_NAME or ""
application = WSGIBridge(
    wsgi_application,
    base_path=base_path,
    max_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    threads=settings.ORION_SERVER_THREADS,
    in_flight=settings.ORION_SERVER_MAX_IN_FLIGHT,
    sockets=SocketDoor(base_path=base_path, most=settings.ORION_SERVER_MAX_SOCKETS),
)
