"""The ASGI application: everything of HTTP goes to Django's WSGI application on our own threads."""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")

from orion_site.bridge import WSGIBridge  # noqa: E402
from orion_site.wsgi import application as wsgi_application  # noqa: E402

application = WSGIBridge(
    wsgi_application,
    base_path=settings.FORCE_SCRIPT_NAME or "",
    max_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
    threads=settings.ORION_SERVER_THREADS,
    in_flight=settings.ORION_SERVER_MAX_IN_FLIGHT,
)
