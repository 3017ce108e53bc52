"""Django's WSGI application, for our own server and for any other that speaks WSGI."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orion_site.settings")

application = get_wsgi_application()
